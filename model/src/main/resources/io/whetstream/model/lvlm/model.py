# What every model has besides its parts.

# methods

  # Weights as they are used: cast, and what shares an input stacked by rows. Always a copy: what comes from Java may lie in a
  # buffer that is freed with its Java object.
  def cast(self: __torch__.Lvlm, parts: List[Tensor]) -> Tensor:
    x = parts[0]
    if len(parts) > 1:
      x = torch.cat(parts, 0)
    return x.to(@DTYPE@, False, True).contiguous()

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
