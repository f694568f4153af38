# Qwen-VL's connectors. The main one is followed by those of deepstack, each with six tensors: norm, first and second layer, with biases.

# Blocks of patches become features. The main merger normalises patches, a deepstack merger whole blocks.
def project(x: Tensor, v: List[Tensor], which: int) -> Tensor:
  at = @V_CONNECTOR_NORM@ + 6 * which
  n = x.size(1) // (@SHUFFLE@ * @SHUFFLE@)
  if v[at].size(0) == x.size(2):
    y = __torch__.vision_norm(x, v[at], v[at + 1]).reshape(x.size(0), n, -1)
  else:
    y = __torch__.vision_norm(x.reshape(x.size(0), n, -1), v[at], v[at + 1])
  return torch.linear(__torch__.@CONNECTOR_ACT@(torch.linear(y, v[at + 2], v[at + 3])), v[at + 4], v[at + 5])
