package io.whetstream.connectors.image;

import io.whetstream.model.BadInputException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Arrays;
import java.util.List;

/** Which addresses are public. */
final class Addresses {
  /**
   * Special-purpose ranges (IANA registries, RFC 6890 and later) that Java's own checks leave out.
   */
  private static final List<Range> SPECIAL =
      List.of(
          Range.parse("0.0.0.0/8"),
          Range.parse("10.0.0.0/8"),
          Range.parse("100.64.0.0/10"),
          Range.parse("127.0.0.0/8"),
          Range.parse("169.254.0.0/16"),
          Range.parse("172.16.0.0/12"),
          Range.parse("192.0.0.0/24"),
          Range.parse("192.0.2.0/24"),
          Range.parse("192.88.99.0/24"),
          Range.parse("192.168.0.0/16"),
          Range.parse("198.18.0.0/15"),
          Range.parse("198.51.100.0/24"),
          Range.parse("203.0.113.0/24"),
          Range.parse("224.0.0.0/3"),
          Range.parse("::/96"),
          Range.parse("100::/64"),
          Range.parse("2001:db8::/32"),
          Range.parse("fc00::/7"),
          Range.parse("fe80::/10"),
          Range.parse("fec0::/10"),
          Range.parse("ff00::/8"),
          // Tunnels: the address inside may be anything.
          Range.parse("64:ff9b::/96"),
          Range.parse("64:ff9b:1::/48"),
          Range.parse("2001::/23"),
          Range.parse("2002::/16"));

  private Addresses() {}

  static boolean isPublic(InetAddress asked) {
    InetAddress address = plain(asked);
    return !address.isLoopbackAddress()
        && !address.isAnyLocalAddress()
        && !address.isLinkLocalAddress()
        && !address.isSiteLocalAddress()
        && !address.isMulticastAddress()
        && SPECIAL.stream().noneMatch(range -> range.contains(address));
  }

  /** The IPv4 address in an IPv6 one that only stands for it (::ffff:0:0/96, RFC 4291). */
  private static InetAddress plain(InetAddress address) {
    byte[] bytes = address.getAddress();
    for (int i = 0; i < bytes.length - 4; i++) {
      if (bytes[i] != (byte) (i < 10 ? 0 : 0xFF)) {
        return address;
      }
    }
    try {
      return bytes.length == 4
          ? address
          : InetAddress.getByAddress(Arrays.copyOfRange(bytes, bytes.length - 4, bytes.length));
    } catch (UnknownHostException e) {
      throw new IllegalStateException("four bytes are an address", e);
    }
  }

  /** A range in CIDR notation. */
  record Range(byte[] base, int bits) {
    static Range parse(String text) {
      int slash = text.indexOf('/');
      try {
        String base = slash < 0 ? text : text.substring(0, slash);
        if (!base.matches("[0-9a-fA-F:.]+")) {
          throw new BadInputException(
              "'" + text + "' is no address range: write it like 10.1.0.0/16");
        }
        // A literal address: nothing is looked up.
        byte[] bytes = InetAddress.getByName(base).getAddress();
        int bits = slash < 0 ? 8 * bytes.length : Integer.parseInt(text.substring(slash + 1));
        if (bits < 0 || bits > 8 * bytes.length) {
          throw new NumberFormatException("prefix of " + bits + " bits");
        }
        return new Range(bytes, bits);
      } catch (UnknownHostException | NumberFormatException e) {
        throw new BadInputException(
            "'" + text + "' is no address range: write it like 10.1.0.0/16", e);
      }
    }

    boolean contains(InetAddress address) {
      byte[] bytes = plain(address).getAddress();
      if (bytes.length != base.length) {
        return false;
      }
      for (int i = 0; i < bits; i++) {
        int mask = 0x80 >>> (i % 8);
        if ((bytes[i / 8] & mask) != (base[i / 8] & mask)) {
          return false;
        }
      }
      return true;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Range that && bits == that.bits && Arrays.equals(base, that.base);
    }

    @Override
    public int hashCode() {
      return 31 * bits + Arrays.hashCode(base);
    }
  }
}
