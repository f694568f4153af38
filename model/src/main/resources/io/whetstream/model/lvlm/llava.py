# The forward passes of a LLaVA-style model: vision tower (CLIP or SigLIP), projector, Llama decoder, and what training needs of
# them. This is TorchScript in its serialised form: dtypes are integers (6 float32, 15 bfloat16), functions are named in full.
# Names between at-signs are constants of one model, filled in by TorchScriptArchive when the archive is assembled.
#
# Shapes: B rows, L positions, T tokens of all rows, d decoder width, N image tokens per image, P image patches, H heads, hd head width, r LoRA rank.
#
# Vision weights v:   [patch [dv, 3*p*p], patch bias [dv], class token [1 or 0, dv], positions [., dv], pre-norm w, b] then VISION
#                     per layer [norm1 w, b, qkv w, b, out w, b, norm2 w, b, fc1 w, b, fc2 w, b] (12), then projector [w, b, w, b].
# Decoder weights w:  [embeddings [V, d], final norm, head [V, d], cos, sin [maxPositions, hd/2]] then per layer
#                     [norm1, qkv w, b, out w, b, norm2, gate-up w, b, down w, b] (10); absent biases are empty tensors.
#                     As prepare() returns them: norm1 is folded into qkv w, norm2 into gate-up w, rows of qkv side by side.
# Adapter list a:     per layer [A, B] of qkv, out, gate-up, down (8), A [r*, in], B [out, r*] with alpha/r folded in (or the merged
#                     weight [out, in] and an empty tensor), then
#                     the soft vectors of both sides in one tensor [image K + text K, d]. Empty: no adapter.

def quick_gelu(x: Tensor) -> Tensor:
  return x * torch.sigmoid(x * 1.702)

def gelu(x: Tensor) -> Tensor:
  return torch.gelu(x)

def gelu_tanh(x: Tensor) -> Tensor:
  return torch.gelu(x, approximate="tanh")

def silu(x: Tensor) -> Tensor:
  return torch.silu(x)

def relu(x: Tensor) -> Tensor:
  return torch.relu(x)

# Linear layer whose bias may be an empty tensor.
def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
  if bias.numel() > 0:
    y = torch.linear(x, weight, bias)
  else:
    y = torch.linear(x, weight)
  return y

# Dtype of losses and embeddings: double stays double, all else float32.
def wide(x: Tensor) -> Tensor:
  if ops.prim.dtype(x) == 7:
    y = x
  else:
    y = x.to(6)
  return y

# Root-mean-square norm without its weight, which is folded into what follows. The norm is one pass over x, in 32 bit at least.
def rms_norm(x: Tensor) -> Tensor:
  y = __torch__.wide(x)
  y = y * torch.rsqrt(torch.mean(y * y, [-1], True) + @RMS_EPS@)
  return y.to(ops.prim.dtype(x))

def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
  return torch.layer_norm(x, [x.size(-1)], weight, bias, @VISION_EPS@)

# ---- vision -----------------------------------------------------------------------------------------------------------

# One pre-norm encoder layer. x [B, P, dv].
def vision_layer(x: Tensor, v: List[Tensor], at: int) -> Tensor:
  B = x.size(0)
  P = x.size(1)
  d = x.size(2)
  y = __torch__.layer_norm(x, v[at], v[at + 1])
  qkv = torch.linear(y, v[at + 2], v[at + 3]).view(B, P, 3, @VISION_HEADS@, -1).permute(2, 0, 3, 1, 4)
  y = torch.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
  x = x + torch.linear(y.transpose(1, 2).reshape(B, P, d), v[at + 4], v[at + 5])
  y = __torch__.layer_norm(x, v[at + 6], v[at + 7])
  y = __torch__.@VISION_ACT@(torch.linear(y, v[at + 8], v[at + 9]))
  return x + torch.linear(y, v[at + 10], v[at + 11])

# Encoder input: patches as one matrix product, class token, positions, CLIP's norm before the encoder. pixels [B, 3, S, S].
def vision_embed(pixels: Tensor, v: List[Tensor]) -> Tensor:
  B = pixels.size(0)
  g = pixels.size(2) // @PATCH@
  edge = g * @PATCH@
  x = pixels[:, :, :edge, :edge].to(ops.prim.dtype(v[0])).reshape(B, 3, g, @PATCH@, g, @PATCH@)
  x = x.permute(0, 2, 4, 1, 3, 5).reshape(B, g * g, 3 * @PATCH@ * @PATCH@)
  x = torch.linear(x, v[0], v[1])
  x = torch.cat([v[2].unsqueeze(0).expand(B, -1, -1), x], 1) + v[3]
  if @PRE_NORM@:
    x = __torch__.layer_norm(x, v[4], v[5])
  return x

# What the connector reads: without the class token where the model's select strategy says so; Idefics3's is normalised once more.
def select(x: Tensor, v: List[Tensor]) -> Tensor:
  if @SHUFFLE@ > 0:
    y = __torch__.layer_norm(x, v[len(v) - 4], v[len(v) - 3])
  else:
    y = x[:, @SELECT_FROM@:]
  return y

# Idefics3: squares of patches become one feature each. x [B, N, dv] -> [B, N/s^2, s^2*dv].
def shuffle(x: Tensor) -> Tensor:
  if @SHUFFLE@ > 0:
    y = x.view(x.size(0), @SHUFFLED_GRID@, @SHUFFLE@, @SHUFFLED_GRID@, @SHUFFLE@, x.size(2)).permute(0, 1, 3, 2, 4, 5)
    y = y.reshape(x.size(0), @SHUFFLED_GRID@ * @SHUFFLED_GRID@, -1)
  else:
    y = x
  return y

# The projector: two layers with an activation between. x [B, N, dv] -> [B, N, d].
def project(x: Tensor, v: List[Tensor]) -> Tensor:
  at = len(v) - 4
  if @SHUFFLE@ > 0:
    y = __torch__.shuffle(x)
  else:
    y = __torch__.@PROJECTOR_ACT@(__torch__.affine(x, v[at], v[at + 1]))
  return __torch__.affine(y, v[at + 2], v[at + 3])

def vision_features(pixels: Tensor, v: List[Tensor]) -> Tensor:
  x = __torch__.vision_embed(pixels, v)
  for i in range(@VISION_LAYERS_USED@):
    x = __torch__.vision_layer(x, v, 6 + 12 * i)
  return __torch__.select(x, v)

# ---- decoder ----------------------------------------------------------------------------------------------------------

# Tokens of all rows stand one after another, T in all, without padding: products and norms see [T, .], attention alone sees rows,
# those of equal length together. layout = [positions of tokens in their rows [T], rows and length of each group of equal rows [g, 2],
# positions in T whose last state is asked for [n], dropout seed of each token's row [T]].

# Keep mask of LoRA dropout, scaled by 1/(1-p): a hash of (row seed, site, position, feature), so that it is the same in every
# chunking and every recomputation. The mixer is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
def dropout_mask(seeds: Tensor, positions: Tensor, site: int, width: int, p: float, like: Tensor) -> Tensor:
  feature = torch.arange(width, dtype=4, device=ops.prim.device(like)) * 40503
  z = (seeds + positions * 2654435761).view(-1, 1) + feature.view(1, -1) + site * 7046029254386353131
  z = torch.bitwise_xor(z, torch.bitwise_right_shift(z, 30)) * -4658895280553007687
  z = torch.bitwise_xor(z, torch.bitwise_right_shift(z, 27)) * -7723592293110705685
  z = torch.bitwise_and(torch.bitwise_right_shift(z, 20), 16777215)
  keep = torch.ge(z, int(p * 16777216.0))
  return keep.to(ops.prim.dtype(like)) * (1.0 / (1.0 - p))

# Linear layer with its LoRA: y + B(A(x)), dropout on the way into A. x [T, in]. Without B, A is the merged weight.
def lora(x: Tensor, weight: Tensor, bias: Tensor, a: List[Tensor], at: int, seeds: Tensor, positions: Tensor, p: float) -> Tensor:
  rank = 0
  merged = False
  if len(a) > 0:
    rank = a[at].size(0)
    merged = a[at + 1].size(0) == 0
  if rank > 0:
    if merged:
      y = __torch__.affine(x, a[at], bias)
    else:
      y = __torch__.affine(x, weight, bias)
      if p > 0.0:
        x = x * __torch__.dropout_mask(seeds, positions, at, x.size(1), p, x)
      # In place: no copy of y, and nobody needs what it was.
      y = torch.addmm_(y, torch.linear(x, a[at]), a[at + 1].t())
  else:
    y = __torch__.affine(x, weight, bias)
  return y

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
  cos = torch.index_select(w[3], 0, positions)
  sin = torch.index_select(w[4], 0, positions)
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

# All layers. x [T, d] -> states of the positions that are asked for [n, d], before the final norm. In the last layer only they go on
# after attention. trace: every layer's output is appended to it if it is not empty.
def decoder(x: Tensor, w: List[Tensor], a: List[Tensor], layout: List[Tensor], p: float, trace: List[Tensor]) -> Tensor:
  positions = layout[0]
  seeds = layout[3]
  groups = annotate(List[int], [])
  for g in range(layout[1].size(0)):
    groups.append(int(layout[1][g][0]))
    groups.append(int(layout[1][g][1]))
  turns = __torch__.turns(w, positions)
  for i in range(@LAYERS@):
    at = 5 + 10 * i
    la = 8 * i
    qkv = __torch__.lora(__torch__.rms_norm(x), w[at + 1], w[at + 2], a, la, seeds, positions, p)
    y = __torch__.attend(__torch__.rope(qkv, turns), groups).to(ops.prim.dtype(x))
    if i == @LAYERS@ - 1:
      if layout[2].size(0) < x.size(0):
        x = torch.index_select(x, 0, layout[2])
        y = torch.index_select(y, 0, layout[2])
        seeds = torch.index_select(seeds, 0, layout[2])
        positions = torch.index_select(positions, 0, layout[2])
    x = x + __torch__.lora(y, w[at + 3], w[at + 4], a, la + 2, seeds, positions, p)
    gate, up = torch.chunk(__torch__.lora(__torch__.rms_norm(x), w[at + 6], w[at + 7], a, la + 4, seeds, positions, p), 2, -1)
    x = x + __torch__.lora(__torch__.@TEXT_ACT@(gate) * up, w[at + 8], w[at + 9], a, la + 6, seeds, positions, p)
    if len(trace) > 0:
      trace.append(__torch__.wide(x))
  return x

# Decoder input. ids [T] (whatever stands at an image or soft position is replaced), image [n] and soft [m] are
# positions in T, feature_rows [n] rows of the projected image features, soft_rows [m] rows of the soft vectors.
def splice(w: List[Tensor], a: List[Tensor], ids: Tensor, image: Tensor, features: Tensor, feature_rows: Tensor, soft: Tensor, soft_rows: Tensor) -> Tensor:
  x = torch.embedding(w[0], ids)
  if image.size(0) > 0:
    x = torch.index_copy(x, 0, image, torch.index_select(features, 0, feature_rows).to(ops.prim.dtype(x)))
  if soft.size(0) > 0:
    x = torch.index_copy(x, 0, soft, torch.index_select(a[len(a) - 1], 0, soft_rows))
  return x

def unit_length(x: Tensor) -> Tensor:
  y = __torch__.wide(x)
  return y / torch.clamp_min(torch.linalg_vector_norm(y, 2, [-1], True), 1e-12)

# The consecutive parts of a flat vector; shapes [n, 2] are rows and columns; what is left over comes last. One split, not
# slices: the gradient of a slice is as long as the whole.
def pieces(flat: Tensor, shapes: Tensor) -> List[Tensor]:
  sizes = annotate(List[int], [])
  rest = flat.size(0)
  for i in range(shapes.size(0)):
    size = int(shapes[i][0]) * int(shapes[i][1])
    sizes.append(size)
    rest = rest - size
  sizes.append(rest)
  return torch.split_with_sizes(flat, sizes)

# ---- adapters ---------------------------------------------------------------------------------------------------------

# B(A(x)) for projections that read the same input, as one pair: their A stacked, their B on a block diagonal. Where the weight is so
# small that its own gradient costs less than the thin products (and nothing stands between: no dropout, no rounding to 16 bits), the
# pair is merged into it.
def lora_pair(A: Tensor, B: Tensor, weight: Tensor, p: float) -> List[Tensor]:
  rank = A.size(0)
  small = weight.numel() <= 6 * rank * (weight.size(0) + weight.size(1))
  exact = torch.__or__(ops.prim.dtype(weight) == 6, ops.prim.dtype(weight) == 7)
  if torch.__and__(torch.__and__(rank > 0, p == 0.0), torch.__and__(small, exact)):
    pair = [torch.addmm(weight, B, A), A[:0]]
  else:
    pair = [A, B]
  return pair

# Cuts the flat trainable vector into the adapter list. shapes [14*layers + 1, 2]: per layer A and B of q, k, v, o, gate, up,
# down (an absent one has rank 0), then the soft vectors; what is left over is the logit scale.
def adapter(flat: Tensor, shapes: Tensor, scaling: float, p: float, w: List[Tensor]) -> List[Tensor]:
  parts = annotate(List[Tensor], [])
  pieces = __torch__.pieces(flat, shapes)
  for i in range(shapes.size(0)):
    parts.append(pieces[i].view(int(shapes[i][0]), int(shapes[i][1])).to(ops.prim.dtype(w[0])))
  a = annotate(List[Tensor], [])
  for i in range(@LAYERS@):
    at = 14 * i
    wt = 5 + 10 * i
    B = __torch__.side_by_side(torch.block_diag([parts[at + 1], parts[at + 3], parts[at + 5]]) * scaling)
    q, b = __torch__.lora_pair(torch.cat([parts[at], parts[at + 2], parts[at + 4]], 0) * w[wt], B, w[wt + 1], p)
    a.append(q)
    a.append(b)
    q, b = __torch__.lora_pair(parts[at + 6], parts[at + 7] * scaling, w[wt + 3], p)
    a.append(q)
    a.append(b)
    q, b = __torch__.lora_pair(torch.cat([parts[at + 8], parts[at + 10]], 0) * w[wt + 5], torch.block_diag([parts[at + 9], parts[at + 11]]) * scaling, w[wt + 6], p)
    a.append(q)
    a.append(b)
    q, b = __torch__.lora_pair(parts[at + 12], parts[at + 13] * scaling, w[wt + 8], p)
    a.append(q)
    a.append(b)
  a.append(parts[len(parts) - 1])
  return a

# Decoder weights as the passes use them, from those of a checkpoint.
def prepare(w: List[Tensor]) -> List[Tensor]:
  out = annotate(List[Tensor], [])
  for i in range(len(w)):
    x = w[i]
    place = -1
    if i >= 5:
      place = (i - 5) % 10
    if place == 1:
      x = __torch__.side_by_side(x * w[i - 1])
    if place == 2:
      x = __torch__.side_by_side(x)
    if place == 6:
      x = x * w[i - 1]
    out.append(x)
  return out

class Lvlm(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool

  # Weights as they are used: cast, and what shares an input stacked by rows. Always a copy: what comes from Java may lie in a
  # buffer that is freed with its Java object.
  def cast(self: __torch__.Lvlm, dtype: Tensor, parts: List[Tensor]) -> Tensor:
    x = parts[0]
    if len(parts) > 1:
      x = torch.cat(parts, 0)
    return x.to(int(dtype), False, True).contiguous()

  def prepare(self: __torch__.Lvlm, w: List[Tensor]) -> List[Tensor]:
    return __torch__.prepare(w)

  # pixels [B, 3, S, S] -> projected image features [B*N, d].
  def features(self: __torch__.Lvlm, pixels: Tensor, v: List[Tensor]) -> Tensor:
    x = __torch__.project(__torch__.vision_features(pixels, v), v)
    return x.view(-1, x.size(-1))

  # Every intermediate of the vision side: hidden states 0..layers, selected, projected.
  def trace_vision(self: __torch__.Lvlm, pixels: Tensor, v: List[Tensor]) -> List[Tensor]:
    x = __torch__.vision_embed(pixels, v)
    out = [__torch__.wide(x)]
    for i in range(@VISION_LAYERS@):
      x = __torch__.vision_layer(x, v, 6 + 12 * i)
      out.append(__torch__.wide(x))
    out.append(__torch__.wide(__torch__.vision_features(pixels, v)))
    out.append(__torch__.wide(__torch__.project(__torch__.vision_features(pixels, v), v)))
    out.append(__torch__.wide(__torch__.shuffle(__torch__.vision_features(pixels, v))))
    return out

  # Every intermediate of the decoder: inputs, layers 1..n, final norm, logits, all [B, L, .]. Rows padded to one length.
  def trace_decoder(self: __torch__.Lvlm, rows: List[Tensor], features: Tensor, flat: Tensor, shapes: Tensor, scalars: Tensor, w: List[Tensor]) -> List[Tensor]:
    a = annotate(List[Tensor], [])
    if flat.numel() > 0:
      a = __torch__.adapter(flat, shapes, float(scalars[0]), 0.0, w)
    x = __torch__.splice(w, a, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    states = [__torch__.wide(x)]
    x = __torch__.decoder(x, w, a, [rows[8], rows[9], rows[8], rows[11]], 0.0, states)
    x = __torch__.rms_norm(x) * w[1]
    states.append(__torch__.wide(x))
    states.append(__torch__.wide(torch.linear(x, w[2])))
    out = annotate(List[Tensor], [])
    for i in range(len(states)):
      out.append(states[i].view(int(rows[9][0][0]), int(rows[9][0][1]), -1))
    return out

  # One unit of rows. rows = [ids [T], image positions [n], soft positions [m], soft rows [m], then into the k positions kept to the end:
  # read-outs [e] and next-token positions [t], next-token targets [t], feature rows [n], positions in rows [T], groups of equal rows
  # [g, 2], kept positions [k], dropout seeds [T]]. scalars = [alpha/r, dropout p].
  # Returns embeddings [e, d] of unit length, the summed next-token cross entropy, and how many of the t targets were ranked first.
  def unit(self: __torch__.Lvlm, rows: List[Tensor], features: Tensor, flat: Tensor, shapes: Tensor, scalars: Tensor, w: List[Tensor]) -> List[Tensor]:
    p = float(scalars[1])
    a = annotate(List[Tensor], [])
    if flat.numel() > 0:
      a = __torch__.adapter(flat, shapes, float(scalars[0]), p, w)
    x = __torch__.splice(w, a, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    none = annotate(List[Tensor], [])
    x = __torch__.decoder(x, w, a, [rows[8], rows[9], rows[10], rows[11]], p, none)
    x = __torch__.rms_norm(x) * w[1]
    e = __torch__.unit_length(torch.index_select(x, 0, rows[4]))
    if rows[5].size(0) > 0:
      logits = __torch__.wide(torch.linear(torch.index_select(x, 0, rows[5]), w[2]))
      loss = torch.cross_entropy_loss(logits, rows[6], None, 2)
      hits = torch.sum(torch.eq(torch.argmax(logits, -1), rows[6]))
    else:
      loss = torch.sum(__torch__.wide(x[:0]))
      hits = torch.sum(rows[6])
    return [e, loss, hits]

  # What is differentiated for one unit: upstream gradients of its embeddings (cached gradients, Gao et al. 2021, section 3.2) and
  # its share of the next-token loss.
  def surrogate(self: __torch__.Lvlm, e: Tensor, upstream: Tensor, loss: Tensor, weight: Tensor) -> Tensor:
    return torch.sum(e * upstream) + loss * weight

  # Symmetric InfoNCE. e [E, d] embeddings of unit length; image, text [B]: the rows of e that are a pair; excluded [B, B] bool: never each other's negatives. scale is the last element of
  # flat (a logarithm). options = [hardness alpha, margin, margin kind (0 none, 1 absolute, 2 relative)].
  # Hardness (LLaVE, 2503.04812): negatives get alpha * stopgrad(cos) added to their logit. False negatives (UniME, 2504.17432):
  # negatives with cos > cos_positive + margin are dropped; the relative form cos_positive - |cos_positive| * margin keeps its
  # direction for negative scores.
  # Returns [loss, cosines [B, B], number of dropped negatives].
  def contrastive(self: __torch__.Lvlm, e: Tensor, image: Tensor, text: Tensor, flat: Tensor, excluded: Tensor, options: Tensor) -> List[Tensor]:
    s = torch.matmul(torch.index_select(e, 0, image), torch.index_select(e, 0, text).t())
    fixed = s.detach()
    B = s.size(0)
    diagonal = torch.eye(B, dtype=11, device=ops.prim.device(s))
    positive = torch.diagonal(fixed)
    alpha = float(options[0])
    margin = float(options[1])
    kind = int(options[2])
    drop_i = excluded
    drop_t = excluded.t()
    if kind == 1:
      bound = positive + margin
      drop_i = torch.logical_or(drop_i, torch.gt(fixed, bound.unsqueeze(1)))
      drop_t = torch.logical_or(drop_t, torch.gt(fixed.t(), bound.unsqueeze(1)))
    if kind == 2:
      bound = positive - torch.abs(positive) * margin
      drop_i = torch.logical_or(drop_i, torch.gt(fixed, bound.unsqueeze(1)))
      drop_t = torch.logical_or(drop_t, torch.gt(fixed.t(), bound.unsqueeze(1)))
    drop_i = torch.logical_and(drop_i, torch.logical_not(diagonal))
    drop_t = torch.logical_and(drop_t, torch.logical_not(diagonal))
    logits = s * torch.exp(flat[flat.size(0) - 1])
    if alpha != 0.0:
      logits = logits + alpha * torch.masked_fill(fixed, diagonal, 0.0)
    target = torch.arange(B, dtype=4, device=ops.prim.device(s))
    infinite = -1000000000.0
    i2t = torch.cross_entropy_loss(torch.masked_fill(logits, drop_i, infinite), target)
    t2i = torch.cross_entropy_loss(torch.masked_fill(logits.t(), drop_t, infinite), target)
    dropped = torch.sum(drop_i) + torch.sum(drop_t)
    return [(i2t + t2i) * 0.5, fixed, dropped]

  # AdamW (Loshchilov, Hutter 2019) with decoupled decay on one flat vector, in place, gradients clipped by their global norm; the logit
  # scale (last element) is held to [0, scale_max]. hyper = [lr, beta1, beta2, eps, decay, clip (0: none), 1-beta1^t, 1-beta2^t,
  # scale_max (0: the last element is like all others), scale trained (0 or 1)]. A non-finite gradient changes nothing. Returns the norm before clipping. Called without gradient mode.
  def adamw(self: __torch__.Lvlm, grad: Tensor, flat: Tensor, m: Tensor, v: Tensor, hyper: Tensor) -> Tensor:
    last = flat.size(0) - 1
    scale_max = float(hyper[8])
    frozen = torch.__and__(scale_max > 0.0, float(hyper[9]) == 0.0)
    if frozen:
      g0 = torch.zero_(grad[last:])
    norm = torch.linalg_vector_norm(grad)
    finite = bool(torch.isfinite(norm))
    if finite:
      g = grad
      clip = float(hyper[5])
      if clip > 0.0:
        if float(norm) > clip:
          g = grad * (clip / float(norm))
      old = flat[last:].clone()
      beta1 = float(hyper[1])
      beta2 = float(hyper[2])
      m1 = torch.add_(torch.mul_(m, beta1), g, alpha=1.0 - beta1)
      v1 = torch.addcmul_(torch.mul_(v, beta2), g, g, value=1.0 - beta2)
      denominator = torch.sqrt(v / float(hyper[7])) + float(hyper[3])
      f1 = torch.mul_(flat, 1.0 - float(hyper[0]) * float(hyper[4]))
      f2 = torch.addcdiv_(flat, m, denominator, value=-float(hyper[0]) / float(hyper[6]))
      if frozen:
        kept = torch.copy_(flat[last:], old)
      if scale_max > 0.0:
        held = torch.clamp_(flat[last:], 0.0, scale_max)
    zero = torch.zero_(grad)
    return norm

  # Rows of x [n, d], with one more after them, gathered: indices [m * taps]; weights [m, taps], or [0, 1] where there is one tap of weight 1.
  def gather(self: __torch__.Lvlm, x: Tensor, last: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    y = torch.index_select(torch.cat([x, last.view(1, -1).to(ops.prim.dtype(x))], 0), 0, indices)
    if weights.numel() > 0:
      y = torch.sum(y.view(weights.size(0), weights.size(1), -1) * weights.unsqueeze(2).to(ops.prim.dtype(y)), [1])
    return y

  def stack(self: __torch__.Lvlm, like: Tensor, parts: List[Tensor]) -> Tensor:
    return torch.cat(parts, 0)

  # Rows of the embedding table. ids [n] -> [n, d].
  def lookup(self: __torch__.Lvlm, ids: Tensor, w: List[Tensor]) -> Tensor:
    return __torch__.wide(torch.embedding(w[0], ids))

  def assign(self: __torch__.Lvlm, source: Tensor, target: Tensor) -> Tensor:
    return torch.copy_(target, source)

  def clear(self: __torch__.Lvlm, target: Tensor) -> Tensor:
    return torch.zero_(target)

  # All weights in one vector, for pretraining. shapes [n, 2]: rows and columns of each part (1 row: a vector), vision first.
  # Next-token loss only; scalars = [number of vision parts, 1 if the head is the embedding table]. Returns [summed loss, hits].
  def pretrain(self: __torch__.Lvlm, rows: List[Tensor], pixels: Tensor, flat: Tensor, shapes: Tensor, scalars: Tensor, rotary: List[Tensor]) -> List[Tensor]:
    v = annotate(List[Tensor], [])
    w = annotate(List[Tensor], [])
    vision_parts = int(scalars[0])
    pieces = __torch__.pieces(flat, shapes)
    for i in range(shapes.size(0)):
      part = pieces[i]
      if int(shapes[i][0]) != 1:
        part = part.view(int(shapes[i][0]), int(shapes[i][1]))
      if i < vision_parts:
        v.append(part)
      else:
        w.append(part)
        if len(w) == 2:
          if int(scalars[1]) == 1:
            w.append(w[0])
        if len(w) == 3:
          w.append(rotary[0])
          w.append(rotary[1])
    w = __torch__.prepare(w)
    none = annotate(List[Tensor], [])
    if pixels.size(0) > 0:
      f = __torch__.project(__torch__.vision_features(pixels, v), v)
      features = f.view(-1, f.size(-1))
    else:
      features = w[0][:0]
    x = __torch__.splice(w, none, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    x = __torch__.decoder(x, w, none, [rows[8], rows[9], rows[10], rows[11]], 0.0, none)
    h = __torch__.rms_norm(torch.index_select(x, 0, rows[5])) * w[1]
    logits = torch.linear(h, w[2])
    loss = torch.cross_entropy_loss(logits, rows[6], None, 2)
    hits = torch.sum(torch.eq(torch.argmax(logits, -1), rows[6]))
    return [loss, hits]
