# The losses of one step.

# methods

  # What is differentiated for one unit: upstream gradients of its embeddings (cached gradients, Gao et al. 2021, section 3.2) and
  # its share of the next-token loss.
  def surrogate(self: __torch__.Lvlm, e: Tensor, upstream: Tensor, loss: Tensor, weight: Tensor) -> Tensor:
    return torch.sum(e * upstream) + loss * weight

  # Symmetric InfoNCE. e [E, d] embeddings of unit length; image, text [B]: the rows of e that are a pair; excluded [B, B] bool: never each other's negatives. scale is the last element of
  # flat (a logarithm).
  # Hardness (LLaVE, 2503.04812): negatives get alpha * stopgrad(cos) added to their logit. False negatives (UniME, 2504.17432):
  # negatives with cos > cos_positive + margin are dropped; the relative form cos_positive - |cos_positive| * margin keeps its
  # direction for negative scores.
  # Returns [loss, cosines [B, B], number of dropped negatives].
  def contrastive(self: __torch__.Lvlm, e: Tensor, image: Tensor, text: Tensor, flat: Tensor, excluded: Tensor) -> List[Tensor]:
    s = torch.matmul(torch.index_select(e, 0, image), torch.index_select(e, 0, text).t())
    fixed = s.detach()
    B = s.size(0)
    diagonal = torch.eye(B, dtype=11, device=ops.prim.device(s))
    positive = torch.diagonal(fixed)
    drop_i = excluded
    drop_t = excluded.t()
    if @MARGIN_KIND@ == 1:
      bound = positive + @MARGIN@
      drop_i = torch.logical_or(drop_i, torch.gt(fixed, bound.unsqueeze(1)))
      drop_t = torch.logical_or(drop_t, torch.gt(fixed.t(), bound.unsqueeze(1)))
    if @MARGIN_KIND@ == 2:
      bound = positive - torch.abs(positive) * @MARGIN@
      drop_i = torch.logical_or(drop_i, torch.gt(fixed, bound.unsqueeze(1)))
      drop_t = torch.logical_or(drop_t, torch.gt(fixed.t(), bound.unsqueeze(1)))
    drop_i = torch.logical_and(drop_i, torch.logical_not(diagonal))
    drop_t = torch.logical_and(drop_t, torch.logical_not(diagonal))
    logits = s * torch.exp(flat[flat.size(0) - 1])
    if @HARDNESS@ != 0.0:
      logits = logits + @HARDNESS@ * torch.masked_fill(fixed, diagonal, 0.0)
    target = torch.arange(B, dtype=4, device=ops.prim.device(s))
    infinite = -1000000000.0
    i2t = torch.cross_entropy_loss(torch.masked_fill(logits, drop_i, infinite), target)
    t2i = torch.cross_entropy_loss(torch.masked_fill(logits.t(), drop_t, infinite), target)
    dropped = torch.sum(drop_i) + torch.sum(drop_t)
    return [(i2t + t2i) * 0.5, fixed, dropped]
