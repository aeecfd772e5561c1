"""Names of PyTorch that this library leaves out, with the reason: one table for error messages and docs.

Asking a face for such a name is an `AttributeError` that says the reason, which docs/engine.md lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from inspect import getattr_static, signature
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Group(NamedTuple):
    """Names that are left out for one reason. title: as docs show them; names: a pattern of them."""

    title: str
    names: str
    reason: str


TENSORS = (
    Group(
        "`cuda`, `is_cuda`, `pin_memory`, `xpu`",
        "cuda|is_cuda|pin_memory|is_pinned|xpu|is_xpu|mps|is_mps|ipu|is_ipu|mtia|is_mtia|is_maia|is_vulkan|is_xla|is_meta"
        "|to_mkldnn|is_mkldnn|get_device|record_stream",
        "there is one device, the processor; cpu() and to('cpu') are there",
    ),
    Group(
        "hooks, `retain_grad`",
        "register_hook|register_post_accumulate_grad_hook|retain_grad|retains_grad",
        "grad(output, [tensor]) gives the gradient of any tensor, computed ones too",
    ),
    Group("`grad_fn`, `detach_`", "grad_fn|detach_", "is_leaf says whether a tensor was computed; detach() is there"),
    Group(
        "`uniform_`, `normal_`, `bernoulli`, `multinomial`, `random_`",
        "uniform_|normal_|bernoulli|bernoulli_|multinomial|random_|exponential_|cauchy_|geometric_|log_normal_",
        "nothing draws unasked: nn.init.uniform_(tensor, rng=rng), or NumPy's generator",
    ),
    Group(
        "`inverse`, `det`, `svd`, `solve` and their kin",
        "inverse|pinverse|det|logdet|slogdet|svd|qr|lu|cholesky|cholesky_inverse|cholesky_solve|eig|solve|lstsq|matrix_exp"
        "|matrix_power|geqrf|lu_solve|orgqr|ormqr|symeig|triangular_solve",
        "no decomposition has derivatives here: np.linalg takes tensor.numpy()",
    ),
    Group(
        "`to_sparse`, `coalesce`, `bfloat16`, quantised and named tensors",
        "to_sparse|to_sparse_coo|to_sparse_csr|to_sparse_csc|to_sparse_bsr|to_sparse_bsc|to_dense|to_padded_tensor|is_sparse"
        "|is_sparse_csr|is_nested|sparse_mask|sparse_resize_|sparse_resize_and_clear_|resize_as_sparse_|coalesce|is_coalesced"
        "|dense_dim|sparse_dim|indices|values|col_indices|row_indices|ccol_indices|crow_indices|smm|sspaddmm|bfloat16"
        "|dequantize|is_quantized|int_repr|q_scale|q_zero_point|q_per_channel_axis|q_per_channel_scales"
        "|q_per_channel_zero_points|qscheme|name|names|rename|rename_|refine_names",
        "dense arrays of float16 to float64 are all that models here need",
    ),
    Group(
        "`new_zeros`, `new_ones`, `new_tensor`...",
        "new|new_empty|new_empty_strided|new_full|new_ones|new_tensor|new_zeros",
        "Tensor(np.zeros(shape, x.dtype)) says the same",
    ),
    Group(
        "`scatter_add`, `index_copy`, `put_` and other scattered writes",
        "scatter|scatter_|scatter_add|scatter_add_|scatter_reduce|scatter_reduce_|index_copy|index_copy_|index_fill"
        "|index_fill_|index_put|index_put_|index_reduce|put|put_|masked_scatter|masked_scatter_|slice_scatter|select_scatter"
        "|diagonal_scatter|as_strided_scatter|slice_inverse|fill_diagonal_",
        "index_add adds at places, x[places] = values writes, with derivatives",
    ),
    Group(
        "`median`, `quantile`, `unique`, `allclose`, `bincount`, `logical_and`, `gcd` and their kin",
        "median|nanmedian|quantile|nanquantile|mode|kthvalue|nanmean|nansum|count_nonzero|unique|unique_consecutive|histc"
        "|histogram|bincount|isclose|allclose|equal|corrcoef|cov|cummax|cummin|aminmax|fmax|fmin|logical_and|logical_or"
        "|logical_xor|logical_not|bitwise_left_shift|bitwise_right_shift|signbit|isneginf|isposinf|isreal|gcd|lcm|frexp"
        "|ldexp|nextafter|nonzero_static",
        "NumPy's functions take tensor.numpy()",
    ),
    Group(
        "`lgamma`, `digamma`, `erfc`, `erfinv`, `i0` and their kin",
        "lgamma|digamma|polygamma|mvlgamma|igamma|igammac|erfc|erfinv|i0",
        "scipy.special takes tensor.numpy()",
    ),
    Group(
        "`real`, `imag`, `conj`, `H`, `stft` and complex dtypes",
        "real|imag|angle|conj|conj_physical|resolve_conj|resolve_neg|is_conj|is_neg|H|mH|adjoint|cfloat|cdouble|chalf|stft"
        "|istft",
        "no model here has complex numbers; T and mT are there",
    ),
    Group(
        "`fmod`, `frac`, `hypot`, `xlogy`, `addmm` and their kin",
        "fmod|frac|trunc|fix|hypot|sinc|logit|xlogy|logcumsumexp|heaviside|copysign|addmm|addmv|addr|addbmm|baddbmm|addcmul"
        "|addcdiv|deg2rad|rad2deg|dist|cross|kron|inner|vdot|nan_to_num|diag_embed|diagflat|float_power|hardshrink|logaddexp2"
        "|prelu|renorm|sum_to_size",
        "other ops compose them",
    ),
    Group(
        "`multiply`, `divide`, `subtract`, `greater`, `bitwise_and` and their kin",
        "multiply|divide|true_divide|subtract|negative|greater|greater_equal|less|less_equal|not_equal|bitwise_and|bitwise_or"
        "|bitwise_xor|bitwise_not",
        "the operators say the same: *, /, -, >, >=, <, <=, != and those of bits",
    ),
    Group(
        "`where`, `masked_select`, `take` as methods",
        "where|masked_select|take",
        "ops.where(condition, x, other), x[mask] and x.reshape(-1)[places] say the same",
    ),
    Group(
        "`unflatten`, `rot90`, `unfold`, `fliplr`, `resize`",
        "unflatten|rot90|unfold|fliplr|flipud|resize|resize_as",
        "reshape, flip, transpose and slices say the same",
    ),
    Group(
        "`hsplit`, `tensor_split`, `split_with_sizes` and their kin",
        "hsplit|vsplit|dsplit|tensor_split|split_with_sizes|unsafe_split|unsafe_split_with_sizes|unsafe_chunk|narrow_copy",
        "split, chunk, unbind and narrow are there",
    ),
    Group(
        "`sgn`, `ger`, `msort`, `take_along_dim`, `is_nonzero`, `is_same_size`",
        "sgn|ger|msort|take_along_dim|is_nonzero|is_same_size",
        "sign, outer, sort(0), gather, bool(x) and x.shape say the same",
    ),
    Group(
        "`stride`, `storage`, `data_ptr`, `as_strided`, `share_memory_` and their kin",
        "stride|storage|storage_offset|storage_type|untyped_storage|data_ptr|const_data_ptr|as_strided|layout|dim_order"
        "|is_set_to|is_shared|share_memory_|set_",
        "x.numpy() is the array, with NumPy's strides, flags and memory",
    ),
    Group("`apply_`, `map_`", "apply_|map_|map2_", "a Python function for each number has no derivative: compose ops"),
    Group(
        "`as_subclass`, `is_inference`, `output_nr`, `reinforce` and other inner names",
        "as_subclass|is_inference|is_distributed|output_nr|reinforce|volatile|hash_tensor|module_load|grad_dtype|index",
        "they belong to PyTorch's own machinery",
    ),
    Group(
        "`t_`, `squeeze_`, `resize_` and other new shapes in place",
        "t_|transpose_|swapaxes_|swapdims_|squeeze_|unsqueeze_|resize_|resize_as_|as_strided_",
        "a tensor keeps its shape: x = x.squeeze() is another one on the same numbers",
    ),
    Group(
        "`exp_`, `relu_`, `masked_fill_` and other forms in place",
        r"[a-z]\w*_",
        "x[...] = x.exp() says the same; add_, sub_, mul_, div_, clamp_, copy_, fill_ and zero_ are there",
    ),
)
TOP = (
    Group("`tensor`, `from_numpy`, `as_tensor`", r"tensor|from_numpy|as_tensor", "Tensor(data) takes lists and arrays"),
    Group(
        "`zeros`, `ones`, `arange`, `eye`, `linspace`, `full`...",
        r"zeros|ones|arange|eye|linspace|full|empty|\w+_like",
        "Tensor(np.zeros(shape)): NumPy makes arrays",
    ),
    Group(
        "`manual_seed`, `randn`, `rand`, `randint`, `randperm`",
        r"manual_seed|rand\w*|normal|Generator",
        "randomness is passed in: rng = np.random.default_rng(seed), as in nn.Linear(2, 3, rng=rng)",
    ),
    Group(
        "functions at the top, as `cat`, `stack`, `exp`",
        r"cat|stack|exp|log|sin|cos|matmul|mm|sum|mean|where|einsum|relu|sigmoid|tanh|softmax|max|min|abs|sqrt",
        "fedlearn.autograd.ops has them, and np.concatenate, np.exp and their kin take Tensors",
    ),
    Group("`save`", r"save", "model.state_dict() is arrays, which np.savez and safetensors write"),
    Group("`device`, `cuda`", r"device|cuda|set_default_device", "there is one device, the processor"),
    Group("`inference_mode`", r"inference_mode|set_grad_enabled", "no_grad() and enable_grad() are there"),
)
NN = (
    Group(
        "`MultiheadAttention`, transformers",
        r"MultiheadAttention|Transformer\w*|multi_head_attention_forward",
        "no scenario needs them; F.scaled_dot_product_attention is there",
    ),
    Group("3-d layers", r"\w+3d\w*|CrossMapLRN2d", "no data set here has volumes"),
    Group("lazy modules", r"Lazy\w+", "a description names every size, so that a worker builds the same model"),
    Group(
        "instance, local response, synchronised, weight and spectral norms, `RMSNorm`",
        r"InstanceNorm\dd|instance_norm|LocalResponseNorm|local_response_norm|SyncBatchNorm|RMSNorm|rms_norm"
        r"|\w*weight_norm|\w*spectral_norm",
        "LayerNorm, GroupNorm and BatchNorm are there",
    ),
    Group(
        "pooling in 1-d, by norms or at random, adaptive largest, unpooling",
        r"(Adaptive)?(Avg|Max)Pool1d|adaptive_avg_pool1d|(adaptive_)?max_pool\dd\w*|(avg|max)_pool1d\w*"
        r"|AdaptiveMaxPool2d|LPPool\dd|lp_pool\dd|FractionalMaxPool2d|fractional_max_pool2d\w*|MaxUnpool\dd|max_unpool\dd",
        "MaxPool2d, AvgPool2d and AdaptiveAvgPool2d are there; of lines, make images of height 1",
    ),
    Group(
        "paddings as layers, `Unflatten`, `Fold`, `Unfold`, `PixelShuffle`, `Upsample`",
        r"\w+Pad\dd|Unflatten|Fold|Unfold|fold|unfold|\w*[Ss]huffle|\w*_?[Uu]nshuffle|Upsampl\w*|upsample\w*|interpolate"
        r"|grid_sample|affine_grid",
        "F.pad and reshape do what models here need of it",
    ),
    Group(
        "`Dropout2d`, `AlphaDropout` and their kin",
        r"Dropout\dd|dropout\dd|\w*AlphaDropout|\w*alpha_dropout|RReLU|rrelu|gumbel_softmax",
        "Dropout is there; each further one draws in its own way",
    ),
    Group(
        "further losses, as `CTCLoss`, `TripletMarginLoss`, `GaussianNLLLoss`",
        r"\w+(Loss|LossWithDistance|WithDistanceLoss|NLLLoss2d|WithLoss)|NLLLoss2d|PairwiseDistance|CosineSimilarity"
        r"|\w+_loss|pairwise_distance|pdist|linear_cross_entropy",
        "no scenario needs them, and ops compose them",
    ),
    Group(
        "further activations, as `GLU`, `Softshrink`, `Threshold`",
        r"GLU|glu|Softshrink|softshrink|Hardshrink|hardshrink|Threshold|threshold|Softmax2d",
        "where() and clip() compose them",
    ),
    Group(
        "`ConvTranspose1d`, `Bilinear`, `ParameterDict`, `DataParallel`, bases of recurrent layers",
        r"ConvTranspose1d|conv_transpose1d|conv_tbc|Bilinear|bilinear|ParameterDict|DataParallel|Container|RNNBase|RNNCellBase"
        r"|conv3d|conv_transpose3d|\w*grouped_mm|scaled_mm",
        "no scenario needs them",
    ),
)
MODULES = (
    Group(
        "hooks of modules",
        "register_forward_hook|register_forward_pre_hook|register_backward_hook|register_full_backward_hook"
        "|register_full_backward_pre_hook|register_state_dict_pre_hook|register_state_dict_post_hook"
        "|register_load_state_dict_pre_hook|register_load_state_dict_post_hook",
        "forward() is the one place where a module computes: define it in a subclass",
    ),
    Group(
        "`cuda`, `compile`, `share_memory`",
        "cuda|xpu|ipu|mtia|compile|share_memory|to_empty",
        "one device, no compiler",
    ),
    Group(
        "`half`, `bfloat16`",
        "half|bfloat16|type",
        "models train in float32 or float64: float() and double() are there",
    ),
    Group(
        "`reset_parameters`, `reset_running_stats`",
        "reset_parameters|reset_running_stats",
        "nn.build(model.spec(), rng) makes the model anew, with numbers drawn from rng",
    ),
    Group(
        "`extra_repr`, extra state, `set_submodule`",
        "extra_repr|get_extra_state|set_extra_state|set_submodule",
        "repr shows the arguments; a part is replaced by setting the attribute",
    ),
)
OPTIM = (
    Group(
        "`LBFGS`, `ASGD`, `Adadelta`, `Adafactor`, `Adamax`, `Muon`, `Rprop`, `SparseAdam`",
        r"LBFGS|ASGD|Adadelta|Adafactor|Adamax|Muon|Rprop|SparseAdam",
        "no scenario needs them: SGD, Adam, AdamW, NAdam, RAdam, RMSprop, Adagrad and Yogi are there",
    ),
    Group("`CyclicLR`, `MultiplicativeLR`", r"CyclicLR|MultiplicativeLR", "OneCycleLR and LambdaLR do the like"),
    Group("`ChainedScheduler`", "ChainedScheduler", "step each schedule: their factors multiply, in any order"),
)
ARGUMENTS = {
    "inplace": "no op writes into its input, so that gradients stay right",
    "device": "there is one device",
    "dtype": "call .double() on the module, or cast the data",
    **dict.fromkeys(("foreach", "fused", "capturable", "differentiable"), "there is one implementation"),
    **dict.fromkeys(("max_norm", "norm_type"), "it changes the table while it is read"),
    **dict.fromkeys(("scale_grad_by_freq", "sparse"), "it changes what a row-sparse gradient means"),
    "return_indices": "nothing here unpools",
    "proj_size": "no scenario needs it",
}


def reason_for(name: str, groups: tuple[Group, ...]) -> str | None:
    """Why a name is left out, or None where nothing is known of it."""
    found = _any_of(groups).fullmatch(name)
    return None if found is None else groups[int(str(found.lastgroup)[1:])].reason


@cache
def _any_of(groups: tuple[Group, ...]) -> re.Pattern[str]:
    """All their names as one pattern, which is tried in their order: a class asks for a thousand names."""
    return re.compile("|".join(f"(?P<g{number}>{group.names})" for number, group in enumerate(groups)))


class _LeftOut:
    """An attribute that is not there, and says why. Only its name costs anything.

    A class with a `__getattr__` of its own would pay for it at every other attribute too: Python looks none of them up
    the quick way then, which made a training step a twentieth slower.
    """

    def __init__(self, name: str, reason: str):
        self._name = name
        self._reason = reason

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}: {self._reason}")


def without(groups: tuple[Group, ...]) -> Callable[[type[T]], type[T]]:
    """Decorates a class that leaves names out: asking an object of it for one is an error that says the reason.

    groups: a table whose names are plain, with | between them; a pattern is for forms in place, `name_` for each `name`
    that is here or left out. `dir()` of an object shows none of them.
    """

    def decorate(kind: type[T]) -> type[T]:
        listed = {name: group.reason for group in reversed(groups) for name in group.names.split("|")}
        plain = [name for name in listed if name.isidentifier()]
        patterns = tuple(group for group in groups if not group.names.replace("|", "").isidentifier())
        methods = [name for name in dir(kind) if name[0] != "_" and callable(getattr(kind, name))]
        for name in (*plain, *(f"{name}_" for name in (*plain, *methods) if name[-1] != "_")):
            reason = listed.get(name) or reason_for(name, patterns)  # each name tried against each group cost 20 ms
            if reason and not hasattr(kind, name):
                setattr(kind, name, _LeftOut(name, reason))
        kind.__dir__ = _names_that_are_there  # type: ignore[assignment]
        return kind

    return decorate


def _names_that_are_there(thing: object) -> list[str]:
    """The names that `dir()` shows of an object whose class leaves names out."""
    here = type(thing)
    return [name for name in object.__dir__(thing) if not isinstance(getattr_static(here, name, None), _LeftOut)]


def refuse_arguments(kind: type, options: Iterable[str]) -> None:
    """Raise `TypeError` with the reason where a class is given an argument that is left out of it."""
    left_out = [name for name in options if name in ARGUMENTS]
    if left_out:
        known = signature(kind.__init__).parameters  # type: ignore[misc]
        if left_out[0] not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            raise TypeError(f"{kind.__name__}() takes no {left_out[0]}: {ARGUMENTS[left_out[0]]}")


def missing(owner: str, name: str, groups: tuple[Group, ...]) -> AttributeError:
    """The error for an attribute that is not there; of what PyTorch has, with the reason."""
    reason = reason_for(name, groups)
    return AttributeError(f"{owner} has no attribute {name!r}" + (f": {reason}" if reason else ""))
