# The connector of two layers with an activation between, LLaVA's.

# How features lie when the first layer reads them.
def arranged(x: Tensor) -> Tensor:
  return x

# x [B, N, dv] -> [B, N, d].
def project(x: Tensor, v: List[Tensor]) -> Tensor:
  y = __torch__.@CONNECTOR_ACT@(__torch__.affine(x, v[@V_CONNECTOR1@], v[@V_CONNECTOR1_BIAS@]))
  return __torch__.affine(y, v[@V_CONNECTOR2@], v[@V_CONNECTOR2_BIAS@])
