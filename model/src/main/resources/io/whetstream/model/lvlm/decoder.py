# The decoder, Llama's kind, with LoRA beside its linear layers.
#
# Tokens of all rows stand one after another, T in all, without padding: products and norms see [T, .], attention alone sees rows, those
# of equal length together.
#
# As prepared() returns the weights: norm1 is folded into qkv, norm2 into inner (gate and up), rows of qkv side by side.
# Adapter list a: per layer pairs of qkv, out, inner, down, then the soft vectors of both sides in one tensor [image K + text K, d]. What a
# pair is says the part that computes it, adapter_lora.py; without an adapter (adapter_none.py) the soft vectors are all there is.

# The first of layer i's tensors in list w.
def decoder_layer(i: int) -> int:
  return @W_LAYERS@ + @W_STRIDE@ * i

# The first of layer i's tensors in the adapter list.
def adapter_layer(i: int) -> int:
  return @A_LAYERS@ + @A_STRIDE@ * i

# Root-mean-square norm without its weight, which is folded into what follows. The norm is one pass over x, in 32 bit at least.
def rms_norm(x: Tensor) -> Tensor:
  y = __torch__.wide(x)
  y = y * torch.rsqrt(torch.mean(y * y, [-1], True) + @RMS_EPS@)
  return y.to(ops.prim.dtype(x))

# Reorders the rows of a stacked q, k, v weight [(H + 2 KV)*hd, .] or bias so that the two values that a rotary angle turns stand side
# by side in q and k (in checkpoints they are hd/2 apart). Scores do not change: q and k are reordered alike.
def side_by_side(x: Tensor) -> Tensor:
  if x.size(0) > 0:
    turned = (@HEADS@ + @KV_HEADS@) * @HEAD_DIM@
    qk = x[:turned].reshape(@HEADS@ + @KV_HEADS@, 2, @HEAD_DIM@ // 2, -1).transpose(1, 2)
    y = torch.cat([qk.reshape(turned, -1), x[turned:].reshape(@KV_HEADS@ * @HEAD_DIM@, -1)], 0).view(x.size())
  else:
    y = x
  return y

# Rotary angles of tokens at these positions as complex numbers, for q, k and (all 1) v together: [T, (H + 2 KV)*hd/2].
def turns(w: List[Tensor], positions: Tensor) -> Tensor:
  cos = __torch__.angles(w[@W_COS@], w, positions)
  sin = __torch__.angles(w[@W_SIN@], w, positions)
  n = @HEADS@ + @KV_HEADS@
  still = @KV_HEADS@ * @HEAD_DIM@ // 2
  real = torch.cat([torch.repeat(__torch__.wide(cos), [1, n]), torch.ones([cos.size(0), still], dtype=6, device=ops.prim.device(cos)).to(ops.prim.dtype(__torch__.wide(cos)))], 1)
  imaginary = torch.cat([torch.repeat(__torch__.wide(sin), [1, n]), torch.zeros([cos.size(0), still], dtype=6, device=ops.prim.device(cos)).to(ops.prim.dtype(__torch__.wide(cos)))], 1)
  return torch.complex(real, imaginary)

# Rotary positions: one complex product. qkv [T, (H + 2 KV)*hd]. On the CPU attention stays in 32 bit: the gradient of libtorch 2.7's
# 16-bit attention took a fifth of a whole training step there.
def rope(qkv: Tensor, turns: Tensor) -> Tensor:
  z = torch.view_as_complex(__torch__.wide(qkv).view(qkv.size(0), -1, 2)) * turns
  y = torch.view_as_real(z).view(qkv.size())
  if ops.prim.is_cuda(qkv):
    y = y.to(ops.prim.dtype(qkv))
  return y

# Causal attention within rows of equal length: qkv [B*L, (H + 2 KV)*hd] -> [B*L, H*hd].
def attend_equal(qkv: Tensor, B: int, L: int) -> Tensor:
  q, k, v = torch.split_with_sizes(qkv.view(B, L, @HEADS@ + 2 * @KV_HEADS@, @HEAD_DIM@).transpose(1, 2), [@HEADS@, @KV_HEADS@, @KV_HEADS@], 1)
  if @HEADS@ != @KV_HEADS@:
    k = torch.repeat_interleave(k, @HEADS@ // @KV_HEADS@, 1)
    v = torch.repeat_interleave(v, @HEADS@ // @KV_HEADS@, 1)
  return torch.scaled_dot_product_attention(q, k, v, None, 0.0, True).transpose(1, 2).reshape(B * L, @HEADS@ * @HEAD_DIM@)

def attend(qkv: Tensor, groups: List[int]) -> Tensor:
  n = len(groups) // 2
  if n == 1:
    y = __torch__.attend_equal(qkv, groups[0], groups[1])
  else:
    sizes = annotate(List[int], [])
    for g in range(n):
      sizes.append(groups[2 * g] * groups[2 * g + 1])
    equal = torch.split_with_sizes(qkv, sizes)
    parts = annotate(List[Tensor], [])
    for g in range(n):
      parts.append(__torch__.attend_equal(equal[g], groups[2 * g], groups[2 * g + 1]))
    y = torch.cat(parts, 0)
  return y

# All layers. x [T, d] -> states of the tokens that are asked for [n, d], before the final norm. In the last layer only they go on after
# attention. layout = [positions [T], rows and length of each group of equal rows [g, 2] (in the host's memory), tokens that are asked for
# [n], dropout seed of each token's row [T], place of each token in its row [T], image tokens [m], their rows among
# the features [m], features]. trace: every layer's output is appended to it if it is
# not empty.
def decoder(x: Tensor, w: List[Tensor], a: List[Tensor], layout: List[Tensor], trace: List[Tensor]) -> Tensor:
  seeds = layout[3]
  places = layout[4]
  groups = annotate(List[int], [])
  for g in range(layout[1].size(0)):
    groups.append(int(layout[1][g][0]))
    groups.append(int(layout[1][g][1]))
  turns = __torch__.turns(w, layout[0])
  for i in range(@LAYERS@):
    at = __torch__.decoder_layer(i)
    pair = __torch__.adapter_layer(i)
    qkv = __torch__.lora(__torch__.rms_norm(x), w[at + @W_QKV@], w[at + @W_QKV_BIAS@], a, pair + @A_QKV@, seeds, places)
    qkv = __torch__.heads(qkv, w, at)
    y = __torch__.attend(__torch__.rope(qkv, turns), groups).to(ops.prim.dtype(x))
    if i == @LAYERS@ - 1:
      if layout[2].size(0) < x.size(0):
        x = torch.index_select(x, 0, layout[2])
        y = torch.index_select(y, 0, layout[2])
        seeds = torch.index_select(seeds, 0, layout[2])
        places = torch.index_select(places, 0, layout[2])
    x = x + __torch__.lora(y, w[at + @W_OUT@], w[at + @W_OUT_BIAS@], a, pair + @A_OUT@, seeds, places)
    gate, up = torch.chunk(__torch__.lora(__torch__.rms_norm(x), w[at + @W_INNER@], w[at + @W_INNER_BIAS@], a, pair + @A_INNER@, seeds, places), 2, -1)
    x = x + __torch__.lora(__torch__.@TEXT_ACT@(gate) * up, w[at + @W_DOWN@], w[at + @W_DOWN_BIAS@], a, pair + @A_DOWN@, seeds, places)
    if len(trace) > 0:
      trace.append(__torch__.wide(x))
    if i < @DEEPSTACK@:
      if layout[5].size(0) > 0:
        d = x.size(1)
        deep = torch.slice(torch.index_select(layout[7], 0, layout[6]), 1, (i + 1) * d, (i + 2) * d)
        x = torch.index_add(x, 0, layout[5], deep.to(ops.prim.dtype(x)))
      if len(trace) > 0:
        trace.append(__torch__.wide(x))
  return x

# Decoder input. ids [T] (whatever stands at an image or soft position is replaced), image [n] and soft [m] are
# positions in T, feature_rows [n] rows of the projected image features, soft_rows [m] rows of the soft vectors.
def splice(w: List[Tensor], a: List[Tensor], ids: Tensor, image: Tensor, features: Tensor, feature_rows: Tensor, soft: Tensor, soft_rows: Tensor) -> Tensor:
  x = torch.embedding(w[@W_EMBEDDINGS@], ids)
  if image.size(0) > 0:
    x = torch.index_copy(x, 0, image, torch.slice(torch.index_select(features, 0, feature_rows), 1, 0, x.size(1)).to(ops.prim.dtype(x)))
  if soft.size(0) > 0:
    x = torch.index_copy(x, 0, soft, torch.index_select(a[len(a) - 1], 0, soft_rows))
  return x

def unit_length(x: Tensor) -> Tensor:
  y = __torch__.wide(x)
  return y / torch.clamp_min(torch.linalg_vector_norm(y, 2, [-1], True), 1e-12)

# A layer's weight as the passes use it, from that of a checkpoint.
def prepared(x: Tensor, place: int, norm1: Tensor, norm2: Tensor) -> Tensor:
  y = x
  if place == @W_QKV@:
    y = __torch__.side_by_side(x * norm1)
  if place == @W_QKV_BIAS@:
    y = __torch__.side_by_side(x)
  if place == @W_INNER@:
    y = x * norm2
  return y

# methods

  # One weight at a time, so that no more than one is there twice. place is in the host's memory.
  def prepare(self: __torch__.Lvlm, x: Tensor, place: Tensor, norm1: Tensor, norm2: Tensor) -> Tensor:
    return __torch__.prepared(x, int(place), norm1, norm2)

  # One unit of rows. rows = [ids [T], image tokens [n], soft tokens [m], soft rows [m], then into the k tokens kept to the end:
  # read-outs [e] and next-token positions [t], next-token targets [t], feature rows [n], positions [T], groups of equal rows [g, 2] in the
  # host's memory, kept tokens [k], dropout seeds [T], places in rows [T]].
  # Returns embeddings [e, d] of unit length, the summed next-token cross entropy, and how many of the t targets were ranked first.
  def unit(self: __torch__.Lvlm, rows: List[Tensor], features: Tensor, a: List[Tensor], w: List[Tensor]) -> List[Tensor]:
    x = __torch__.splice(w, a, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    none = annotate(List[Tensor], [])
    x = __torch__.decoder(x, w, a, [rows[8], rows[9], rows[10], rows[11], rows[12], rows[1], rows[7], features], none)
    x = __torch__.rms_norm(x) * w[@W_NORM@]
    e = __torch__.unit_length(torch.index_select(x, 0, rows[4]))
    if rows[5].size(0) > 0:
      logits = __torch__.wide(torch.linear(torch.index_select(x, 0, rows[5]), w[@W_HEAD@]))
      loss = torch.cross_entropy_loss(logits, rows[6], None, 2)
      hits = torch.sum(torch.eq(torch.argmax(logits, -1), rows[6]))
    else:
      loss = torch.sum(__torch__.wide(x[:0]))
      hits = torch.sum(rows[6])
    return [e, loss, hits]

  # Every intermediate of the decoder: inputs, layers 1..n, final norm, logits, all [B, L, .]. Rows padded to one length.
  def trace_decoder(self: __torch__.Lvlm, rows: List[Tensor], features: Tensor, a: List[Tensor], w: List[Tensor]) -> List[Tensor]:
    x = __torch__.splice(w, a, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    states = [__torch__.wide(x)]
    x = __torch__.decoder(x, w, a, [rows[8], rows[9], rows[12], rows[11], rows[12], rows[1], rows[7], features], states)
    x = __torch__.rms_norm(x) * w[@W_NORM@]
    states.append(__torch__.wide(x))
    states.append(__torch__.wide(torch.linear(x, w[@W_HEAD@])))
    out = annotate(List[Tensor], [])
    for i in range(len(states)):
      out.append(states[i].view(int(rows[9][0][0]), int(rows[9][0][1]), -1))
    return out

  # Rows of the embedding table. ids [n] -> [n, d].
  def lookup(self: __torch__.Lvlm, ids: Tensor, w: List[Tensor]) -> Tensor:
    return __torch__.wide(torch.embedding(w[@W_EMBEDDINGS@], ids))
