# The optimizer.

# methods

  # AdamW (Loshchilov, Hutter 2019) with decoupled decay on one flat vector, in place, gradients clipped by their global norm; the logit
  # scale, the last element where there is one, is held to [0, @SCALE_MAX@], or stays as it is. step = [rate, 1-beta1^t, 1-beta2^t], in the
  # host's memory: what alone differs from step to step. A non-finite gradient changes nothing. Returns the norm before clipping. Called
  # without gradient mode.
  def adamw(self: __torch__.Lvlm, grad: Tensor, flat: Tensor, m: Tensor, v: Tensor, step: Tensor) -> Tensor:
    last = flat.size(0) - 1
    if @SCALE_FROZEN@:
      g0 = torch.zero_(grad[last:])
    norm = torch.linalg_vector_norm(grad)
    size = float(norm)
    if size - size == 0.0:
      g = grad
      if @CLIP@ > 0.0:
        if size > @CLIP@:
          g = grad * (@CLIP@ / size)
      old = flat[last:].clone()
      rate = float(step[0])
      m1 = torch.add_(torch.mul_(m, @BETA1@), g, alpha=1.0 - @BETA1@)
      v1 = torch.addcmul_(torch.mul_(v, @BETA2@), g, g, value=1.0 - @BETA2@)
      denominator = torch.sqrt(v / float(step[2])) + @EPSILON@
      f1 = torch.mul_(flat, 1.0 - rate * @DECAY@)
      f2 = torch.addcdiv_(flat, m, denominator, value=-rate / float(step[1]))
      if @SCALE_FROZEN@:
        kept = torch.copy_(flat[last:], old)
      if @SCALE_HELD@:
        held = torch.clamp_(flat[last:], 0.0, @SCALE_MAX@)
    zero = torch.zero_(grad)
    return norm

  # The last value of a flat vector [1]: the logit scale.
  def last(self: __torch__.Lvlm, flat: Tensor) -> Tensor:
    return flat[flat.size(0) - 1:].clone()
