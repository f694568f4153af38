# The losses of one step.

def unit_length(x: Tensor) -> Tensor:
  y = __torch__.wide(x)
  return y / torch.clamp_min(torch.linalg_vector_norm(y, 2, [-1], True), 1e-12)

# methods

  # One unit of rows. rows = [ids [T], image tokens [n], soft tokens [m], soft rows [m], then into the k tokens kept to the end:
  # read-outs [e] and next-token positions [t], next-token targets [t], feature rows [n], positions [T], groups of equal rows [g, 2] in the
  # host's memory, kept tokens [k], dropout seeds [T], places in rows [T]]. scalars = [dropout p, LoRA rank], in the host's memory.
  # Returns embeddings [e, d] of unit length, the summed next-token cross entropy, and how many of the t targets were ranked first.
  def unit(self: __torch__.Lvlm, rows: List[Tensor], features: Tensor, a: List[Tensor], scalars: Tensor, w: List[Tensor]) -> List[Tensor]:
    x = __torch__.splice(w, a, rows[0], rows[1], features, rows[7], rows[2], rows[3])
    none = annotate(List[Tensor], [])
    x = __torch__.decoder(x, w, a, [rows[8], rows[9], rows[10], rows[11], rows[12], rows[1], rows[7], features], float(scalars[0]), int(scalars[1]), none)
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

  # What is differentiated for one unit: upstream gradients of its embeddings (cached gradients, Gao et al. 2021, section 3.2) and
  # its share of the next-token loss.
  def surrogate(self: __torch__.Lvlm, e: Tensor, upstream: Tensor, loss: Tensor, weight: Tensor) -> Tensor:
    return torch.sum(e * upstream) + loss * weight

  # Symmetric InfoNCE. e [E, d] embeddings of unit length; image, text [B]: the rows of e that are a pair; excluded [B, B] bool: never each other's negatives. scale is the last element of
  # flat (a logarithm). options = [hardness alpha, margin, margin kind (0 none, 1 absolute, 2 relative)], in the host's memory.
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
