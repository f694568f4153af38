# Adapters: from the flat trainable vector to what the decoder reads.

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

# Cuts the flat trainable vector into the adapter list. shapes [14*layers + 1, 2], in the host's memory: per layer A and B of q, k, v, o,
# gate, up, down (an absent one has rank 0), then the soft vectors; what is left over is the logit scale.
def adapter(flat: Tensor, shapes: Tensor, scaling: float, p: float, w: List[Tensor]) -> List[Tensor]:
  parts = annotate(List[Tensor], [])
  pieces = __torch__.pieces(flat, shapes)
  for i in range(shapes.size(0)):
    parts.append(pieces[i].view(int(shapes[i][0]), int(shapes[i][1])).to(ops.prim.dtype(w[0])))
  a = annotate(List[Tensor], [])
  for i in range(@LAYERS@):
    at = 14 * i
    wt = __torch__.decoder_layer(i)
    B = __torch__.side_by_side(torch.block_diag([parts[at + 1], parts[at + 3], parts[at + 5]]) * scaling)
    q, b = __torch__.lora_pair(torch.cat([parts[at], parts[at + 2], parts[at + 4]], 0) * w[wt + @W_NORM1@], B, w[wt + @W_QKV@], p)
    a.append(q)
    a.append(b)
    q, b = __torch__.lora_pair(parts[at + 6], parts[at + 7] * scaling, w[wt + @W_OUT@], p)
    a.append(q)
    a.append(b)
    q, b = __torch__.lora_pair(torch.cat([parts[at + 8], parts[at + 10]], 0) * w[wt + @W_NORM2@], torch.block_diag([parts[at + 9], parts[at + 11]]) * scaling, w[wt + @W_INNER@], p)
    a.append(q)
    a.append(b)
    q, b = __torch__.lora_pair(parts[at + 12], parts[at + 13] * scaling, w[wt + @W_DOWN@], p)
    a.append(q)
    a.append(b)
  a.append(parts[len(parts) - 1])
  return a

# methods

  # The adapter list of a flat vector. scalars = [alpha/r, dropout p], in the host's memory.
  def adapter(self: __torch__.Lvlm, flat: Tensor, shapes: Tensor, scalars: Tensor, w: List[Tensor]) -> List[Tensor]:
    return __torch__.adapter(flat, shapes, float(scalars[0]), float(scalars[1]), w)

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
