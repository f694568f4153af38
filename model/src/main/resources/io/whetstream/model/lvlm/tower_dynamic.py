# The vision tower of pictures of any size (Qwen2-VL, Qwen2.5-VL, Qwen3-VL). k pictures of one size, N patches each, m*m of them a block, E
# width, d decoder width. RMS norms have an empty bias.
#
# plan: [patch of the picture for each place [N], cos [N, hd/2], sin [N, hd/2], windows [g, 2] (g times: number, patches of each; in the
#       host's memory), place of each block in windows' order [N/(m*m)], taps of the position table [N, 4], their weights [N, 4]].

# The norm of a tower: with a bias layer norm, without one RMS norm.
def vision_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
  if bias.numel() > 0:
    y = torch.layer_norm(x, [x.size(-1)], weight, bias, @VISION_EPS@)
  else:
    z = __torch__.wide(x)
    y = (z * torch.rsqrt(torch.mean(z * z, [-1], True) + @VISION_EPS@)).to(ops.prim.dtype(x)) * weight
  return y

# The table of positions resampled to the grid: [N, E].
def vision_positions(plan: List[Tensor], v: List[Tensor]) -> Tensor:
  rows = torch.index_select(v[@V_POSITIONS@], 0, plan[5].reshape(-1)).view(plan[5].size(0), 4, -1)
  return torch.sum(rows * plan[6].unsqueeze(2).to(ops.prim.dtype(rows)), [1])

# Patches in the plan's order as one matrix product, and positions. -> [k, N, E].
def vision_embed(pixels: Tensor, plan: List[Tensor], v: List[Tensor]) -> Tensor:
  k = pixels.size(0)
  high = pixels.size(2) // @PATCH@
  wide = pixels.size(3) // @PATCH@
  x = pixels.to(ops.prim.dtype(v[@V_PATCHES@])).reshape(k, 3, high, @PATCH@, wide, @PATCH@)
  x = x.permute(0, 2, 4, 1, 3, 5).reshape(k, high * wide, 3 * @PATCH@ * @PATCH@)
  # A picture stands for two equal frames.
  weight = torch.sum(v[@V_PATCHES@].view(-1, 3, 2, @PATCH@ * @PATCH@), [2]).reshape(-1, 3 * @PATCH@ * @PATCH@)
  x = __torch__.affine(torch.index_select(x, 1, plan[0]), weight, v[@V_PATCHES_BIAS@])
  if v[@V_POSITIONS@].numel() > 0:
    x = x + __torch__.vision_positions(plan, v)
  return x

# Rotary positions of one head dimension pair (i, i + hd/2). x [k, N, H, hd]; cos, sin [N, hd/2].
def vision_turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
  a, b = torch.chunk(__torch__.wide(x), 2, -1)
  c = __torch__.wide(cos).unsqueeze(1)
  s = __torch__.wide(sin).unsqueeze(1)
  return torch.cat([a * c - b * s, b * c + a * s], -1).to(ops.prim.dtype(x))

# Attention within parts of each picture: groups [g][number of parts, patches of each]. q, k, v [k, N, H, hd] -> [k, N, H*hd].
def vision_attend(q: Tensor, k: Tensor, v: Tensor, groups: List[int]) -> Tensor:
  n = q.size(0)
  out = annotate(List[Tensor], [])
  at = 0
  for g in range(len(groups) // 2):
    count = groups[2 * g]
    size = groups[2 * g + 1]
    parts = annotate(List[Tensor], [])
    for x in [q, k, v]:
      parts.append(torch.slice(x, 1, at, at + count * size).reshape(n * count, size, @VISION_HEADS@, -1).transpose(1, 2))
    y = torch.scaled_dot_product_attention(parts[0], parts[1], parts[2])
    out.append(y.transpose(1, 2).reshape(n, count * size, -1))
    at = at + count * size
  return torch.cat(out, 1)

def vision_layer(x: Tensor, plan: List[Tensor], groups: List[int], v: List[Tensor], at: int) -> Tensor:
  y = __torch__.vision_norm(x, v[at + @V_NORM1@], v[at + @V_NORM1_BIAS@])
  qkv = torch.linear(y, v[at + @V_QKV@], v[at + @V_QKV_BIAS@]).view(x.size(0), x.size(1), 3, @VISION_HEADS@, -1)
  q, k, u = torch.unbind(qkv, 2)
  y = __torch__.vision_attend(__torch__.vision_turn(q, plan[1], plan[2]), __torch__.vision_turn(k, plan[1], plan[2]), u, groups)
  x = x + torch.linear(y, v[at + @V_OUT@], v[at + @V_OUT_BIAS@])
  y = torch.linear(__torch__.vision_norm(x, v[at + @V_NORM2@], v[at + @V_NORM2_BIAS@]), v[at + @V_INNER@], v[at + @V_INNER_BIAS@])
  if @VISION_GATED@:
    gate, up = torch.chunk(y, 2, -1)
    y = __torch__.@VISION_ACT@(gate) * up
  else:
    y = __torch__.@VISION_ACT@(y)
  return x + torch.linear(y, v[at + @V_DOWN@], v[at + @V_DOWN_BIAS@])

def vision_tower(pixels: Tensor, plan: List[Tensor], v: List[Tensor], trace: List[Tensor]) -> Tensor:
  x = __torch__.vision_embed(pixels, plan, v)
  windows = annotate(List[int], [])
  for g in range(plan[3].size(0)):
    windows.append(int(plan[3][g][0]))
    windows.append(int(plan[3][g][1]))
  whole = [1, x.size(1)]
  deep = annotate(List[Tensor], [])
  for i in range(@VISION_LAYERS@):
    groups = windows
    for full in @FULL_LAYERS@:
      if full == i:
        groups = whole
    x = __torch__.vision_layer(x, plan, groups, v, @V_LAYERS@ + @V_STRIDE@ * i)
    if len(trace) > 0:
      trace.append(x)
    for stacked in @DEEPSTACK_LAYERS@:
      if stacked == i:
        deep.append(__torch__.project(x, v, 1 + len(deep)))
  out = [__torch__.project(x, v, 0)]
  for k in range(len(deep)):
    out.append(deep[k])
  return torch.index_select(torch.cat(out, -1), 1, plan[4])

# methods

  # pixels [k, 3, H, W] -> features [k*N/(m*m), d*(1 + deepstack)]: side by side those of the input and of each deepstack layer.
  def features(self: __torch__.Lvlm, pixels: Tensor, plan: List[Tensor], v: List[Tensor]) -> Tensor:
    none = annotate(List[Tensor], [])
    x = __torch__.vision_tower(pixels, plan, v, none)
    return x.view(-1, x.size(-1))

  # Hidden states 0..layers, then features as above, then learned positions where there are any.
  def trace_vision(self: __torch__.Lvlm, pixels: Tensor, plan: List[Tensor], v: List[Tensor]) -> List[Tensor]:
    states = [__torch__.vision_embed(pixels, plan, v)]
    x = __torch__.vision_tower(pixels, plan, v, states)
    states.append(x)
    if v[@V_POSITIONS@].numel() > 0:
      states.append(__torch__.vision_positions(plan, v))
    out = annotate(List[Tensor], [])
    for i in range(len(states)):
      out.append(__torch__.wide(states[i]))
    return out
