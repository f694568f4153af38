# What all parts share: activations, linear layers, norms. Parts are TorchScript in its serialised form: dtypes are integers (6 float32,
# 7 float64, 15 bfloat16), functions are named in full. Names between at-signs are constants of one model, filled in by TorchScriptArchive
# when it assembles the parts that an architecture names. What stands below "# methods" becomes a method of the module.
#
# Weights are lists, v of tower and connector, w of the decoder. Java says where in a list a weight lies (WeightList): @V_PATCHES@ is the index
# of one outside the layers, @V_LAYERS@ the beginning of the layers, @V_STRIDE@ the length of one, @V_QKV@ a place within a layer. Absent
# biases are empty tensors.
#
# Shapes: B rows, L positions, T tokens of all rows, d decoder width, N image tokens, P image patches, H heads, hd head width, r LoRA rank.

def quick_gelu(x: Tensor) -> Tensor:
  return x * torch.sigmoid(x * 1.702)

def gelu(x: Tensor) -> Tensor:
  return torch.gelu(x)

def gelu_tanh(x: Tensor) -> Tensor:
  return torch.gelu(x, approximate="tanh")

def silu(x: Tensor) -> Tensor:
  return torch.silu(x)

def relu(x: Tensor) -> Tensor:
  return torch.relu(x)

# Linear layer whose bias may be an empty tensor.
def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
  if bias.numel() > 0:
    y = torch.linear(x, weight, bias)
  else:
    y = torch.linear(x, weight)
  return y

# Dtype of losses and embeddings: double stays double, all else float32.
def wide(x: Tensor) -> Tensor:
  if ops.prim.dtype(x) == 7:
    y = x
  else:
    y = x.to(6)
  return y
