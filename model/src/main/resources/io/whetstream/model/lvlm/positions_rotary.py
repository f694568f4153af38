# Rotary positions of one axis.

# Rotary angles of tokens at these positions as complex numbers, for q, k and (all 1) v together: [T, (H + 2 KV)*hd/2].
def turns(w: List[Tensor], positions: Tensor) -> Tensor:
  cos = torch.index_select(w[@W_COS@], 0, positions)
  sin = torch.index_select(w[@W_SIN@], 0, positions)
  n = @HEADS@ + @KV_HEADS@
  still = @KV_HEADS@ * @HEAD_DIM@ // 2
  real = torch.cat([torch.repeat(__torch__.wide(cos), [1, n]), torch.ones([cos.size(0), still], dtype=6, device=ops.prim.device(cos)).to(ops.prim.dtype(__torch__.wide(cos)))], 1)
  imaginary = torch.cat([torch.repeat(__torch__.wide(sin), [1, n]), torch.zeros([cos.size(0), still], dtype=6, device=ops.prim.device(cos)).to(ops.prim.dtype(__torch__.wide(cos)))], 1)
  return torch.complex(real, imaginary)
