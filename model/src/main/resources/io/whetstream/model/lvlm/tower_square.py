# The vision tower of square inputs: CLIP's, SigLIP's without class token and norm before the layers, Idefics3's with a norm behind them.

def vision_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
  return torch.layer_norm(x, [x.size(-1)], weight, bias, @VISION_EPS@)

# One pre-norm encoder layer. x [B, P, dv].
def vision_layer(x: Tensor, v: List[Tensor], i: int) -> Tensor:
  at = @V_LAYERS@ + @V_STRIDE@ * i
  B = x.size(0)
  P = x.size(1)
  d = x.size(2)
  y = __torch__.vision_norm(x, v[at + @V_NORM1@], v[at + @V_NORM1_BIAS@])
  qkv = torch.linear(y, v[at + @V_QKV@], v[at + @V_QKV_BIAS@]).view(B, P, 3, @VISION_HEADS@, -1).permute(2, 0, 3, 1, 4)
  y = torch.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
  x = x + torch.linear(y.transpose(1, 2).reshape(B, P, d), v[at + @V_OUT@], v[at + @V_OUT_BIAS@])
  y = __torch__.vision_norm(x, v[at + @V_NORM2@], v[at + @V_NORM2_BIAS@])
  y = __torch__.@VISION_ACT@(torch.linear(y, v[at + @V_INNER@], v[at + @V_INNER_BIAS@]))
  return x + torch.linear(y, v[at + @V_DOWN@], v[at + @V_DOWN_BIAS@])

# Encoder input: patches as one matrix product, class token, positions, CLIP's norm before the encoder. pixels [B, 3, S, S].
def vision_embed(pixels: Tensor, v: List[Tensor]) -> Tensor:
  B = pixels.size(0)
  g = pixels.size(2) // @PATCH@
  edge = g * @PATCH@
  x = pixels[:, :, :edge, :edge].to(ops.prim.dtype(v[@V_PATCHES@])).reshape(B, 3, g, @PATCH@, g, @PATCH@)
  x = x.permute(0, 2, 4, 1, 3, 5).reshape(B, g * g, 3 * @PATCH@ * @PATCH@)
  x = torch.linear(x, v[@V_PATCHES@], v[@V_PATCHES_BIAS@])
  x = torch.cat([v[@V_CLASS_TOKEN@].unsqueeze(0).expand(B, -1, -1), x], 1) + v[@V_POSITIONS@]
  if @PRE_NORM@:
    x = __torch__.vision_norm(x, v[@V_BEFORE@], v[@V_BEFORE_BIAS@])
  return x

# What the connector reads: without the class token where the model's select strategy says so; Idefics3's is normalised once more.
def select(x: Tensor, v: List[Tensor]) -> Tensor:
  y = x[:, @SELECT_FROM@:]
  if @POST_NORM@:
    y = __torch__.vision_norm(y, v[@V_AFTER@], v[@V_AFTER_BIAS@])
  return y

def vision_features(pixels: Tensor, v: List[Tensor]) -> Tensor:
  x = __torch__.vision_embed(pixels, v)
  for i in range(@VISION_LAYERS@):
    x = __torch__.vision_layer(x, v, i)
  return __torch__.select(x, v)

# methods

  # pixels [B, 3, S, S] -> projected image features [B*N, d].
  def features(self: __torch__.Lvlm, pixels: Tensor, v: List[Tensor]) -> Tensor:
    x = __torch__.project(__torch__.vision_features(pixels, v), v)
    return x.view(-1, x.size(-1))

  # Every intermediate of the vision side: hidden states 0..layers, selected, projected.
  def trace_vision(self: __torch__.Lvlm, pixels: Tensor, v: List[Tensor]) -> List[Tensor]:
    x = __torch__.vision_embed(pixels, v)
    out = [__torch__.wide(x)]
    for i in range(@VISION_LAYERS@):
      x = __torch__.vision_layer(x, v, i)
      out.append(__torch__.wide(x))
    y = __torch__.select(x, v)
    out.append(__torch__.wide(y))
    out.append(__torch__.wide(__torch__.project(y, v)))
    out.append(__torch__.wide(__torch__.arranged(y)))
    return out
