# Qwen-VL's connectors. The main one is followed by those of deepstack, which have places alike.

# Blocks of patches become features. The main merger normalises patches, a deepstack merger whole blocks.
def project(x: Tensor, v: List[Tensor], which: int) -> Tensor:
  at = @CONNECTOR_STRIDE@ * which
  weight = v[at + @V_CONNECTOR_NORM@]
  bias = v[at + @V_CONNECTOR_NORM_BIAS@]
  n = x.size(1) // (@SHUFFLE@ * @SHUFFLE@)
  if weight.size(0) == x.size(2):
    y = __torch__.vision_norm(x, weight, bias).reshape(x.size(0), n, -1)
  else:
    y = __torch__.vision_norm(x.reshape(x.size(0), n, -1), weight, bias)
  y = __torch__.@CONNECTOR_ACT@(torch.linear(y, v[at + @V_CONNECTOR1@], v[at + @V_CONNECTOR1_BIAS@]))
  return torch.linear(y, v[at + @V_CONNECTOR2@], v[at + @V_CONNECTOR2_BIAS@])
