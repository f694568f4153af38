# Idefics3's connector: squares of patches become one feature each, then one layer.

# How features lie when the layer reads them. x [B, N, dv] -> [B, N/s^2, s^2*dv].
def arranged(x: Tensor) -> Tensor:
  y = x.view(x.size(0), @SHUFFLED_GRID@, @SHUFFLE@, @SHUFFLED_GRID@, @SHUFFLE@, x.size(2)).permute(0, 1, 3, 2, 4, 5)
  return y.reshape(x.size(0), @SHUFFLED_GRID@ * @SHUFFLED_GRID@, -1)

# x [B, N, dv] -> [B, N/s^2, d].
def project(x: Tensor, v: List[Tensor]) -> Tensor:
  return __torch__.affine(__torch__.arranged(x), v[@V_CONNECTOR1@], v[@V_CONNECTOR1_BIAS@])
