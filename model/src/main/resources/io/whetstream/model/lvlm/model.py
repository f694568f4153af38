# What every model has besides its parts.

# methods

  # An array for a weight. sizes in the host's memory; on the device of like.
  def room(self: __torch__.Lvlm, sizes: Tensor, like: Tensor) -> Tensor:
    shape = annotate(List[int], [])
    for i in range(sizes.size(0)):
      shape.append(int(sizes[i]))
    return torch.empty(shape, dtype=@DTYPE@, device=ops.prim.device(like))

  # Casts values to where they belong in a weight: from its element number at on, in the host's memory.
  def place(self: __torch__.Lvlm, target: Tensor, at: Tensor, values: Tensor) -> Tensor:
    return torch.copy_(torch.narrow(target.view([-1]), 0, int(at), values.numel()), values.view([-1]))

  # Rows in another order, or chosen ones: a copy.
  def rows(self: __torch__.Lvlm, x: Tensor, order: Tensor) -> Tensor:
    return torch.index_select(x, 0, order)

  # Rows of x [n, d], with one more after them, gathered: indices [m * taps]; weights [m, taps], or [0, 1] where there is one tap of weight 1.
  def gather(self: __torch__.Lvlm, x: Tensor, last: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    y = torch.index_select(torch.cat([x, last.view(1, -1).to(ops.prim.dtype(x))], 0), 0, indices)
    if weights.numel() > 0:
      y = torch.sum(y.view(weights.size(0), weights.size(1), -1) * weights.unsqueeze(2).to(ops.prim.dtype(y)), [1])
    return y

  def stack(self: __torch__.Lvlm, like: Tensor, parts: List[Tensor]) -> Tensor:
    return torch.cat(parts, 0)

  def assign(self: __torch__.Lvlm, source: Tensor, target: Tensor) -> Tensor:
    return torch.copy_(target, source)

  def clear(self: __torch__.Lvlm, target: Tensor) -> Tensor:
    return torch.zero_(target)
