# Rotary positions of three axes.

# Rows of a table [places, hd/2] for tokens at these positions [3, T], or [T] where the axes agree; of each pair its own axis counts.
def angles(table: Tensor, w: List[Tensor], positions: Tensor) -> Tensor:
  if torch.dim(positions) == 2:
    rows = torch.index_select(table, 0, positions.reshape(-1)).view(3, positions.size(1), -1)
    y = torch.sum(rows * w[@W_AXES@].unsqueeze(1), [0])
  else:
    y = torch.index_select(table, 0, positions)
  return y
