# Adapters: from the flat trainable vector to what the decoder reads, and LoRA beside its linear layers.
#
# A pair is A [r*, in] and B [out, r*] with alpha/r folded in, or the merged weight [out, in] and an empty tensor; r* is 0 where a layer has
# no LoRA. How the flat vector is cut says Java (AdapterLayout): @P_QUERY_A@ is the place of a part within a layer.

# Hash of (row seed, place in the row, site, feature), which does not depend on chunking and is the same in every recomputation: [T, width].
# The mixer is the finaliser of SplitMix64 (Steele, Lea, Flood 2014); its shifts are logical, and torch's are arithmetic.
def dropout_bits(seeds: Tensor, places: Tensor, site: int, width: int) -> Tensor:
  feature = torch.arange(width, dtype=4, device=ops.prim.device(seeds)) * 40503 + site * 7046029254386353131
  z = (seeds + places * 2654435761).view(-1, 1) + feature.view(1, -1)
  z = torch.mul_(torch.bitwise_xor_(z, torch.bitwise_and_(torch.bitwise_right_shift(z, 30), 17179869183)), -4658895280553007687)
  z = torch.mul_(torch.bitwise_xor_(z, torch.bitwise_and_(torch.bitwise_right_shift(z, 27), 137438953471)), -7723592293110705685)
  return torch.bitwise_xor_(z, torch.bitwise_and_(torch.bitwise_right_shift(z, 31), 8589934591))

# A(x) of adapters that stand one above the other in A, @RANK@ rows each, every one behind dropout of its own: one hash has 21 bits for each
# of three.
def dropped(x: Tensor, A: Tensor, site: int, seeds: Tensor, places: Tensor) -> Tensor:
  sizes = annotate(List[int], [])
  for k in range(A.size(0) // @RANK@):
    sizes.append(@RANK@)
  parts = torch.split_with_sizes(A, sizes)
  bits = __torch__.dropout_bits(seeds, places, site, x.size(1))
  low = annotate(List[Tensor], [])
  for k in range(len(parts)):
    share = torch.bitwise_and_(torch.bitwise_right_shift(bits, 21 * k), 2097151)
    drop = torch.lt(share, int(@DROPOUT@ * 2097152.0))
    low.append(torch.linear(torch.masked_fill(x, drop, 0.0), parts[k]))
  return torch.cat(low, 1) * (1.0 / (1.0 - @DROPOUT@))

# Linear layer with its LoRA: y + B(A(x)), dropout on the way into A. x [T, in]; at: of the pair in a.
def lora(x: Tensor, weight: Tensor, bias: Tensor, a: List[Tensor], at: int, seeds: Tensor, places: Tensor) -> Tensor:
  A = a[at]
  B = a[at + 1]
  if A.size(0) > 0:
    if B.size(0) == 0:
      y = __torch__.affine(x, A, bias)
    else:
      y = __torch__.affine(x, weight, bias)
      if @DROPOUT@ > 0.0:
        low = __torch__.dropped(x, A, at, seeds, places)
      else:
        low = torch.linear(x, A)
      # In place: no copy of y, and nobody needs what it was.
      y = torch.addmm_(y, low, B.t())
  else:
    y = __torch__.affine(x, weight, bias)
  return y

# B(A(x)) for projections that read the same input, as one pair: their A stacked, their B on a block diagonal. Where the weight is so
# small that its own gradient costs less than the thin products (and nothing stands between: no dropout, no rounding to 16 bits), the
# pair is merged into it.
def lora_pair(A: Tensor, B: Tensor, weight: Tensor) -> List[Tensor]:
  rank = A.size(0)
  small = weight.numel() <= 6 * rank * (weight.size(0) + weight.size(1))
  exact = torch.__or__(ops.prim.dtype(weight) == 6, ops.prim.dtype(weight) == 7)
  if torch.__and__(torch.__and__(rank > 0, @DROPOUT@ == 0.0), torch.__and__(small, exact)):
    pair = [torch.addmm(weight, B, A), A[:0]]
  else:
    pair = [A, B]
  return pair

# methods

  # The adapter list of a flat vector: one split, not slices, because the gradient of a slice is as long as the whole.
  def adapter(self: __torch__.Lvlm, flat: Tensor, w: List[Tensor]) -> List[Tensor]:
    pieces = torch.split_with_sizes(flat, @SIZES@)
    shapes = @SHAPES@
    parts = annotate(List[Tensor], [])
    for i in range(len(shapes) // 2):
      parts.append(pieces[i].view(shapes[2 * i], shapes[2 * i + 1]).to(ops.prim.dtype(w[0])))
    a = annotate(List[Tensor], [])
    for i in range(@LAYERS@):
      p = @P_LAYERS@ + @P_STRIDE@ * i
      at = __torch__.decoder_layer(i)
      A = torch.cat([parts[p + @P_QUERY_A@], parts[p + @P_KEY_A@], parts[p + @P_VALUE_A@]], 0) * w[at + @W_NORM1@]
      B = torch.block_diag([parts[p + @P_QUERY_B@], parts[p + @P_KEY_B@], parts[p + @P_VALUE_B@]]) * @SCALING@
      qkv = __torch__.lora_pair(A, __torch__.side_by_side(B), w[at + @W_QKV@])
      out = __torch__.lora_pair(parts[p + @P_OUTPUT_A@], parts[p + @P_OUTPUT_B@] * @SCALING@, w[at + @W_OUT@])
      A = torch.cat([parts[p + @P_GATE_A@], parts[p + @P_UP_A@]], 0) * w[at + @W_NORM2@]
      B = torch.block_diag([parts[p + @P_GATE_B@], parts[p + @P_UP_B@]]) * @SCALING@
      inner = __torch__.lora_pair(A, B, w[at + @W_INNER@])
      down = __torch__.lora_pair(parts[p + @P_DOWN_A@], parts[p + @P_DOWN_B@] * @SCALING@, w[at + @W_DOWN@])
      for pair in [qkv, out, inner, down]:
        a.append(pair[0])
        a.append(pair[1])
    a.append(parts[@P_SOFT@])
    return a

  # The same tensors without their past: what a step's units are differentiated towards, so that the list is made once.
  def leaves(self: __torch__.Lvlm, a: List[Tensor]) -> List[Tensor]:
    out = annotate(List[Tensor], [])
    for i in range(len(a)):
      out.append(a[i].detach())
    return out

  # Zero, of which every leaf is a part: its backward pass gives each a gradient to add to.
  def nothing(self: __torch__.Lvlm, a: List[Tensor]) -> Tensor:
    sum = torch.sum(__torch__.wide(a[0][:0]))
    for i in range(len(a)):
      sum = sum + torch.sum(__torch__.wide(a[i][:0]))
    return sum

  # What is differentiated towards the flat vector once the gradients of the leaves are known.
  def collected(self: __torch__.Lvlm, a: List[Tensor], gradients: List[Tensor]) -> Tensor:
    sum = torch.sum(__torch__.wide(a[0] * gradients[0]))
    for i in range(1, len(a)):
      sum = sum + torch.sum(__torch__.wide(a[i] * gradients[i]))
    return sum
