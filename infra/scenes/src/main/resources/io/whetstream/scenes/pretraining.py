# All weights in one vector: how the base of the demo was made.

# The decoder's weights as the passes use them.
def prepare(w: List[Tensor]) -> List[Tensor]:
  out = annotate(List[Tensor], [])
  for i in range(@W_LAYERS@):
    out.append(w[i])
  for i in range(@LAYERS@):
    at = __torch__.decoder_layer(i)
    for place in range(@W_STRIDE@):
      out.append(__torch__.prepared(w[at + place], place, w[at + @W_NORM1@], w[at + @W_NORM2@]))
  return out

# methods

  # Next-token loss only. How the flat vector is cut says Java (WholeLayout): the tower's and connector's weights, then the decoder's, a
  # vector as one row. Returns [summed loss, hits].
  def pretrain(self: __torch__.Lvlm, rows: List[Tensor], pixels: Tensor, rotary: List[Tensor], flat: Tensor) -> List[Tensor]:
    v = annotate(List[Tensor], [])
    w = annotate(List[Tensor], [])
    pieces = torch.split_with_sizes(flat, @ALL_SIZES@)
    shapes = @ALL_SHAPES@
    for i in range(len(pieces)):
      part = pieces[i]
      if shapes[2 * i] != 1:
        part = part.view(shapes[2 * i], shapes[2 * i + 1])
      if i < @ALL_VISION@:
        v.append(part)
      else:
        w.append(part)
        if len(w) == @W_HEAD@:
          if @ALL_TIED@:
            w.append(w[@W_EMBEDDINGS@])
        if len(w) == @W_COS@:
          w.append(rotary[0])
          w.append(rotary[1])
    w = __torch__.prepare(w)
    a = [w[@W_EMBEDDINGS@][:0]]
    none = annotate(List[Tensor], [])
    if pixels.size(0) > 0:
      f = __torch__.project(__torch__.vision_features(pixels, v), v)
      features = f.view(-1, f.size(-1))
    else:
      features = w[@W_EMBEDDINGS@][:0]
    x = __torch__.splice(w, a, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    x = __torch__.decoder(x, w, a, [rows[8], rows[9], rows[10], rows[11], rows[12], rows[1], rows[7], features], none)
    h = __torch__.rms_norm(torch.index_select(x, 0, rows[5])) * w[@W_NORM@]
    logits = torch.linear(h, w[@W_HEAD@])
    loss = torch.cross_entropy_loss(logits, rows[6], None, 2)
    hits = torch.sum(torch.eq(torch.argmax(logits, -1), rows[6]))
    return [loss, hits]
