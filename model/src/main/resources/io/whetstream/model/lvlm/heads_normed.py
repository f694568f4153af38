# Heads of queries and keys normalised, each for itself, before they are turned.

# The weights [(H + KV)*hd] lie as q and k do. qkv [T, (H + 2 KV)*hd]; at: the layer's first tensor in w.
def heads(qkv: Tensor, w: List[Tensor], at: int) -> Tensor:
  turned = (@HEADS@ + @KV_HEADS@) * @HEAD_DIM@
  qk, v = torch.split_with_sizes(qkv, [turned, @KV_HEADS@ * @HEAD_DIM@], 1)
  y = __torch__.rms_norm(qk.reshape(qk.size(0), -1, @HEAD_DIM@)).reshape(qk.size(0), turned) * w[at + @W_HEAD_NORMS@]
  return torch.cat([y, v], 1)
