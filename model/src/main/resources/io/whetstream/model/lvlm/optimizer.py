# The optimizer.

# methods

  # AdamW (Loshchilov, Hutter 2019) with decoupled decay on one flat vector, in place, gradients clipped by their global norm; the logit
  # scale (last element) is held to [0, scale_max]. hyper = [lr, beta1, beta2, eps, decay, clip (0: none), 1-beta1^t, 1-beta2^t,
  # scale_max (0: the last element is like all others), scale trained (0 or 1)], in the host's memory. A non-finite gradient changes nothing.
  # Returns the norm before clipping. Called without gradient mode.
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

  # The last value of a flat vector [1]: the logit scale.
  def last(self: __torch__.Lvlm, flat: Tensor) -> Tensor:
    return flat[flat.size(0) - 1:].clone()
