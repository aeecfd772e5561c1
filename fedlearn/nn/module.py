"""`Module`: a model or a part of one, made of parameters and of other modules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.names import is_cpu
from fedlearn.autograd.node import next_id
from fedlearn.autograd.tensor import Tensor
from fedlearn.checked import check_flags, flag, generator
from fedlearn.errors import BadInput
from fedlearn.leftout import ARGUMENTS, MODULES, refuse_arguments, without
from fedlearn.nn.loading import IncompatibleKeys, fitting
from fedlearn.nn.parameter import Buffer, Parameter, buffer_of, flatten
from fedlearn.nn.showing import module_html, module_summary
from fedlearn.registry import target_of

CONTAINERS = (list, tuple, deque, dict, set, frozenset)
Walked = tuple[str, "Module", list[tuple[str, Any]]]  # a module's name, the module, its parts by name


@without(MODULES)
class Module:
    """Base of every layer and model. A subclass sets Parameters, Buffers and Modules as attributes, in
    the order in which they are to be listed, and defines `forward`. Those in a list, tuple or dict are found too.

    All parameters of a model are views of one flat array, `vector`. How an instance was constructed is
    remembered, so that `spec()` can say it and `build` can repeat it in another process.
    """

    stackable: ClassVar[bool]  # works on trailing axes: see stackable.py; a class that does not say so does not
    replayable: ClassVar[bool]  # its steps can be recorded: likewise

    training: bool
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        refuse_arguments(cls, kwargs)
        check_flags(cls, args, kwargs)
        module = super().__new__(cls)
        module.training = True
        module._arguments = (args, kwargs)
        return module

    def __init__(self, *args: Any, **options: Any) -> None:
        """A subclass need not call this: there is nothing to set up. `TypeError` for any argument."""
        if args or options:
            kind = type(self).__name__
            given = ", ".join([*(" ".join(repr(value).split()) for value in args), *options])
            why = "; ".join(reason for name, reason in ARGUMENTS.items() if name in options) or "leave it out"
            if any(isinstance(value, Tensor | np.ndarray) for value in args):
                why = f"make the layer first, and call it with its input, as {kind}()(x)"
            raise TypeError(f"{kind}() takes no {given:.80}: {why}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; `BadInput` where a parameter, buffer or module would be lost under something else."""
        kept = self.__dict__.get(name)
        if isinstance(kept, Parameter | Buffer | Module) and value is not None:
            value = _in_place_of(kept, value, f"{type(self).__name__}.{name}")
        super().__setattr__(name, value)

    def forward(self, *inputs: Any) -> Any:
        """Compute the module's output from its inputs. A subclass defines this; `BadInput` where it did not."""
        raise BadInput(f"{type(self).__name__} has no forward(): define it in the class, or call one of its parts")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    # Its parts

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((name, part) for name, part in self._parts() if isinstance(part, Module))

    def children(self) -> Iterator[Module]:
        return (part for _, part in self.named_children())

    def named_modules(self, prefix: str = "", around: tuple[Module, ...] = ()) -> Iterator[tuple[str, Module]]:
        """The module itself, named `prefix`, and all modules within it, each before its own parts.

        around: those that it is a part of; `BadInput` for a module within itself.
        """
        return ((name, module) for name, module, _ in self._walked([], prefix, around))

    def _walked(self, found: list[Walked], prefix: str = "", around: tuple[Module, ...] = ()) -> list[Walked]:
        """Add the module and all within it to `found`, as `named_modules` does, each with its parts."""
        for module in around:
            if module is self:
                raise BadInput(
                    f"{prefix} is a {type(self).__name__} within itself: keep no reference to a module's owner"
                )
        parts = self._parts()
        found.append((prefix, self, parts))
        for name, part in parts:
            if isinstance(part, Module):
                part._walked(found, f"{prefix}.{name}" if prefix else name, (*around, self))
        return found

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """The module of this dotted name, as "body.0"; "" is the module itself."""
        found = dict(self.named_modules())
        if not isinstance(target, str) or target not in found:
            raise BadInput(f"{type(self).__name__} has no part {target!r:.60}: it has {', '.join(list(found)[1:])}")
        return found[target]

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with every module within this one, parts before wholes, and last with this one."""
        if not callable(fn):
            raise BadInput(f"apply takes a function of a module, not {fn!r:.60}")
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def register_buffer(self, name: str, tensor: Any) -> None:
        """Keep a tensor or array as part of the state that is not trained; None keeps the name free."""
        if not isinstance(name, str) or not name.isidentifier():
            raise BadInput(f"a buffer is named {name!r:.60}: give a name that an attribute can have")
        setattr(self, name, None if tensor is None else buffer_of(tensor, name))

    def add_module(self, name: str, module: Module | None) -> None:
        """Same as setting the attribute, of a Module or None only."""
        self._register(name, module, Module)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Same as setting the attribute, of a Parameter or None only."""
        self._register(name, param, Parameter)

    def _register(self, name: Any, part: Any, kind: type[Any]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise BadInput(f"a {kind.__name__} is named {name!r:.60}: give a name without dots")
        if part is not None and not isinstance(part, kind):
            raise BadInput(f"{name} is a {type(part).__name__}: give a {kind.__name__} or None")
        setattr(self, name, part)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter): a module's own first, then those of its parts; a shared one once."""
        return self._named_tensors(Parameter, once=True)

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        return self._named_tensors(Buffer, once=True)

    def buffers(self) -> Iterator[Buffer]:
        return (buffer for _, buffer in self.named_buffers())

    def _named_tensors(self, kind: type[Any] | tuple[type[Any], ...], once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        named: dict[str, Any] = {}
        for prefix, _, parts in self._walked([]):
            for name, value in parts:
                if isinstance(value, kind) and not (once and id(value) in seen):
                    seen.add(id(value))
                    full = f"{prefix}.{name}" if prefix else name
                    if named.setdefault(full, value) is not value:
                        raise BadInput(f"two parts of the {type(self).__name__} are named {full}: rename a key")
                    yield full, value

    def _parts(self) -> list[tuple[str, Any]]:
        """Its modules and tensors by name. Within lists, tuples and dicts, as "layers.0", those that are no attribute
        too."""
        attributes, found = self.__dict__, []
        for name, value in attributes.items():
            if isinstance(value, Module | Tensor):
                found.append((name, value))
            elif isinstance(value, CONTAINERS) and name != "_arguments":
                own = {id(part) for part in attributes.values()}
                found += [(inner, part) for inner, part in _within(name, value) if id(part) not in own]
        return found

    # Its numbers

    @property
    def vector(self) -> np.ndarray:
        """All parameters as one contiguous 1-D array (P,), in the order of `named_parameters`.

        It is their memory, not a copy: writing to it changes the parameters. A module within another one
        shows its stretch of the outer one's array.
        """
        members = list(self.parameters())
        whole = flatten(members)
        now = next_id()
        for parameter in members:
            watch.look(parameter, now)
        return whole

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers, by name."""
        return {name: tensor.numpy().copy() for name, tensor in self._named_state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Write the arrays of `state` (NumPy's, Tensors or PyTorch's) into the tensors of the same names.

        Returns which names are missing and which are unknown. Raises `ShapeError`, having written nothing, where a
        shape differs or, if `strict`, where a name is missing or unknown.
        """
        own, strict = dict(self._named_state()), flag("load_state_dict's strict", strict)
        arrays, keys = fitting(state, own, strict, type(self).__name__)
        for name, array in arrays.items():
            own[name][...] = array
        return keys

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        return self._named_tensors((Parameter, Buffer), once=False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set those that there are to zero."""
        set_to_none = flag("zero_grad's set_to_none", set_to_none)
        for parameter in self.parameters():
            forget = set_to_none or parameter._grad is None
            parameter._grad = None if forget else Tensor(np.zeros_like(parameter.numpy()))

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, dtype: Any) -> Self:
        """All floating-point parameters and buffers in another precision: a floating-point dtype, else `BadInput`.

        "cpu", the one device, changes nothing.
        """
        if is_cpu(dtype):
            return self
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            raise BadInput(f"{dtype!r:.60} is no dtype: give np.float32 or np.float64") from None
        if dtype.kind != "f":
            raise BadInput(f"parameters of {dtype} could not be trained: give np.float32 or np.float64")
        for _, tensor in self._named_state():
            if tensor.dtype.kind == "f":
                tensor._data = tensor._data.astype(dtype)
                tensor._grad = None
        return self

    def cpu(self) -> Self:
        return self

    def double(self) -> Self:
        return self.to(np.float64)

    def float(self) -> Self:
        return self.to(np.float32)

    # Its mode

    def train(self, mode: bool = True) -> Self:
        """Training (dropout drops, statistics are gathered), or evaluation."""
        if not isinstance(mode, bool | np.bool_):
            raise BadInput(f"train's mode is {mode!r:.60}: give True or False")
        for module in self.modules():
            if module.training is not mode:
                module.training = bool(mode)
        return self

    def eval(self) -> Self:
        return self.train(False)

    def use_rng(self, rng: np.random.Generator) -> Self:
        """Let every part that draws as it runs, as Dropout does, draw from `rng` from now on."""
        rng = generator(rng)
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = rng
        return self

    # Its description

    def spec(self) -> dict[str, Any]:
        """How to construct such a module: plain data, without its numbers and without `rng`; for `build`.

        "frozen", where there are some, names the parameters that want no gradient.
        """
        args, kwargs = self._arguments
        kind = type(self)
        spec = {
            "class": target_of(kind),
            "args": [_plain(value, kind) for value in args],
            "kwargs": {name: _plain(value, kind) for name, value in kwargs.items() if name != "rng"},
        }
        frozen = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        return {**spec, "frozen": frozen} if frozen else spec

    summary = module_summary
    _repr_html_ = module_html

    def __repr__(self) -> str:
        args, kwargs = self._arguments
        children = dict(self.named_children())
        if children:
            lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in children.items()]
            return "\n".join([f"{type(self).__name__}(", *lines, ")"])
        given = [repr(value) for value in args]
        given += [f"{name}={value!r}" for name, value in kwargs.items() if name != "rng"]
        return f"{type(self).__name__}({', '.join(given)})"


def _within(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The modules and parameters of a container, however deep, by dotted name."""
    if isinstance(value, list | tuple | deque | dict):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _within(f"{name}.{key}", item)
    elif isinstance(value, set | frozenset):
        if any(isinstance(item, Module | Tensor) for item in value):
            raise BadInput(f"{name} is a set, which has no order to list its parts in: take nn.ModuleList or a list")
    else:
        yield name, value


def _in_place_of(kept: Any, value: Any, name: str) -> Any:
    """`value` as it may replace a parameter, a buffer or a module."""
    if isinstance(kept, Buffer) and isinstance(value, Tensor):
        return value if isinstance(value, Buffer) else buffer_of(value, name)
    kind = next(kind for kind in (Parameter, Buffer, Module) if isinstance(kept, kind))
    if isinstance(value, kind):
        return value
    remedy = "give a Module or None" if kind is Module else f"write {name}[...] = values, or give a {kind.__name__}"
    raise BadInput(f"{name} is a {type(kept).__name__}, which a {type(value).__name__} would replace: {remedy}")


def _plain(value: Any, owner: type) -> Any:
    """A constructor argument as plain data."""
    if isinstance(value, Module):
        return value.spec()
    if isinstance(value, list | tuple):
        return [_plain(item, owner) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item, owner) for name, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadInput(f"{owner.__name__} was constructed with a {type(value).__name__}, which a description cannot hold")
