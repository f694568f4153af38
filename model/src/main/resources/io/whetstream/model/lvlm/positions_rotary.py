# Rotary positions of one axis.

# Rows of a table [places, hd/2] for tokens at these positions [T].
def angles(table: Tensor, w: List[Tensor], positions: Tensor) -> Tensor:
  return torch.index_select(table, 0, positions)
