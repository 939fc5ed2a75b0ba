"""Faults in copies of the fake families, each with the check that must catch it; those of texts are in ``text_faults``."""

from .fault import Fault

__all__ = ["FAULTS", "JUDGE", "JUDGES"]

JUDGES = "model.update(capabilities={'features', 'classify'}, sampler='')"
JUDGE = """def features(self, x):
    return self.encode(x)
def logits(self, x):
    return -((x[:, None] - self.shift - self.means) * self.log_scale.exp()).square().sum(2)
def classify(self, x):
    return self.logits(x).log_softmax(1)
"""
FAULTS = [
    Fault(check="plugin_is_light", what="the plugin imports torch", top="import torch"),
    Fault(check="plugin_is_light", what="the config imports numpy", config_top="import numpy"),
    Fault(check="targets_resolve", what="no such model", hook="model['target'] = 'zoo_broken_model:Nothing'"),
    Fault(check="targets_resolve", what="the recipe is none", hook="recipe['target'] = 'zoo_broken_config:Config'"),
    Fault(check="targets_resolve", what="no target", hook="trainer['target'] = ''"),
    Fault(
        check="targets_resolve",
        what="not frozen",
        config_top="from dataclasses import dataclass\nfrom zoo_core.interfaces import ModelConfig\n"
        "@dataclass\nclass Loose(ModelConfig):\n    classes: int = 3\n",
        hook="model['config'] = 'zoo_broken_config:Loose'",
    ),
    Fault(check="targets_resolve", what="a trainer's config for a model", hook="model['config'] = trainer['config']"),
    Fault(check="targets_resolve", what="a field that the tag hides", config="name: str = 'x'"),
    Fault(check="targets_resolve", what="a sampler that it has no capability for", hook="model['sampler'] = 'ancestral'"),
    Fault(check="targets_resolve", what="no such trainer", hook="model['trainer'] = 'nobody'"),
    Fault(
        check="config_round_trips",
        what="it changes whenever it is made",
        config="def __post_init__(self):\n    object.__setattr__(self, 'classes', self.classes + 1)",
    ),
    Fault(check="config_is_strict", what="anything goes", config="extra: Any = 3"),
    Fault(check="config_is_strict", what="text for a number", config="extra: int | str = 3"),
    Fault(check="capabilities_are_there", what="no encode", model="encode = None"),
    Fault(check="capabilities_are_there", what="no classes", config="classes: int = 0"),
    Fault(check="capabilities_are_there", what="no such capability", hook="model['capabilities'] |= {'fly'}"),
    Fault(check="capabilities_are_there", what="not declared", hook="model['capabilities'] -= {'density'}"),
    Fault(
        check="loads_from_meta",
        what="a buffer that is not saved",
        model="def __init__(self, config):\n    super().__init__(config)\n"
        "    self.register_buffer('two', torch.tensor(2.0), persistent=False)",
    ),
    Fault(
        check="loads_from_meta",
        what="a tensor that is no buffer",
        model="def __init__(self, config):\n    super().__init__(config)\n    self.two = torch.tensor(2.0)\n"
        "def prior(self, rng):\n    return super().prior(rng) * self.two",
    ),
    Fault(
        check="weights_survive_safetensors",
        what="one tensor under two names",
        model="def __init__(self, config):\n    super().__init__(config)\n    self.again = self.shift",
    ),
    Fault(
        check="weights_survive_safetensors",
        what="a state outside the state dict",
        model="def __init__(self, config):\n    super().__init__(config)\n    self.secret = torch.randn(()).item()\n"
        "def prior(self, rng):\n    return super().prior(rng) * self.secret",
    ),
    Fault(
        check="models_can_be_copied_and_pickled",
        what="a function without a name",
        model="def __init__(self, config):\n    super().__init__(config)\n    self.way = lambda x: x",
    ),
    Fault(
        check="models_can_be_copied_and_pickled",
        what="a copy that leaves something behind",
        model="def __deepcopy__(self, memo):\n    return type(self)(self.config)\n"
        "def __init__(self, config):\n    super().__init__(config)\n    self.config = config",
    ),
    Fault(
        check="denoises",
        what="one row for all",
        denoiser=True,
        model="def denoise(self, x, sigma, labels=None):\n    return super().denoise(x, sigma)[:1]",
    ),
    Fault(
        check="denoises",
        what="float64 for float32",
        denoiser=True,
        model="def denoise(self, x, sigma, labels=None):\n    return super().denoise(x, sigma).double()",
    ),
    Fault(
        check="denoises",
        what="NaN at the largest level",
        denoiser=True,
        model="def denoise(self, x, sigma, labels=None):\n"
        "    return super().denoise(x, sigma) / (sigma < self.sigma_range[1]).float().view(-1, 1)",
    ),
    Fault(
        check="denoises",
        what="a start of one number a row",
        denoiser=True,
        model="def start(self, rng, sigma):\n    return rng.normal()",
    ),
    Fault(
        check="noise_levels_fit",
        what="an infinite level",
        denoiser=True,
        model="def __init__(self, config):\n    super().__init__(config)\n    self.sigma_range = (0.01, float('inf'))",
    ),
    Fault(
        check="noise_levels_fit",
        what="levels outside the range",
        denoiser=True,
        model="def __init__(self, config):\n    super().__init__(config)\n    self.scheduler = type('S', (), "
        "{'sigmas': lambda self, steps, lo, hi: (*(2 * hi / 2**i for i in range(steps)), 0.0)})()",
    ),
    Fault(
        check="noise_levels_fit",
        what="no zero at the end",
        denoiser=True,
        model="def __init__(self, config):\n    super().__init__(config)\n    self.scheduler = type('S', (), "
        "{'sigmas': lambda self, steps, lo, hi: tuple(hi / 1.1**i for i in range(steps + 1))})()",
    ),
    Fault(
        check="fills",
        what="it does not look at the known part",
        hook="model['capabilities'] |= {'fill'}",
        model="def fill(self, x, mask, rng):\n    return self.decode(self.prior(rng))",
    ),
    Fault(
        check="takes_conditions",
        what="a condition without a denoiser",
        hook="model['capabilities'] |= {'condition'}",
        model="condition_event = Event(shape=(2,))\ndef conditioned(self, condition, rng):\n    return self",
    ),
    Fault(
        check="takes_conditions",
        what="conditions are ignored",
        denoiser=True,
        hook="model['capabilities'] |= {'condition'}",
        model="condition_event = Event(shape=(2,))\ndef conditioned(self, condition, rng):\n    return self",
    ),
    Fault(check="decodes", what="another shape", model="def decode(self, z, labels=None):\n    return super().decode(z, labels)[:, :1]"),
    Fault(
        check="has_latents",
        what="no denoiser of the latents",
        hook="model['capabilities'] |= {'latent'}",
        model="@property\ndef latent(self):\n    return self",
    ),
    Fault(check="decodes", what="one latent too many", model="def prior(self, rng):\n    return super().prior(rng)[:-1]"),
    Fault(
        check="decodes",
        what="values outside the range",
        config="bounded: bool = True",
        model="def decode(self, z, labels=None):\n    return 3 * super().decode(z, labels)",
    ),
    Fault(
        check="inputs_are_left_alone",
        what="decode scales z in place",
        model="def decode(self, z, labels=None):\n    return super().decode(z.mul_(0.5), labels)",
    ),
    Fault(
        check="inputs_are_left_alone",
        what="denoise clamps x in place",
        denoiser=True,
        model="def denoise(self, x, sigma, labels=None):\n    return super().denoise(x.clamp_(-1, 1), sigma)",
    ),
    Fault(
        check="inputs_are_left_alone",
        what="log_prob centres x in place",
        model="def log_prob(self, x, *args, **options):\n    return super().log_prob(x.sub_(0.5), *args, **options)",
    ),
    Fault(
        check="encode_gives_latents",
        what="noise",
        model="def encode(self, x, labels=None):\n    return super().encode(x, labels) + torch.randn_like(x)",
    ),
    Fault(
        check="encode_gives_latents",
        what="another shape",
        model="def encode(self, x, labels=None):\n    return super().encode(x, labels)[:, :1]",
    ),
    Fault(
        check="encode_inverts_decode",
        what="the label is forgotten",
        model="def encode(self, x, labels=None):\n    return super().encode(x)",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="a bare tensor",
        model="def log_prob(self, *args, **options):\n    return super().log_prob(*args, **options).value",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="no such kind",
        model="def log_prob(self, *args, **options):\n    return replace(super().log_prob(*args, **options), kind='elbo')",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="no such space",
        model="def log_prob(self, *args, **options):\n    return replace(super().log_prob(*args, **options), space='pixels')",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="the mean over rows",
        model="def log_prob(self, *args, **options):\n    got = super().log_prob(*args, **options)\n"
        "    return replace(got, value=got.value.mean())",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="an estimate without its error",
        model="def log_prob(self, *args, **options):\n    return replace(super().log_prob(*args, **options), kind='estimate')",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="exact with an error",
        model="def log_prob(self, *args, **options):\n    got = super().log_prob(*args, **options)\n"
        "    return replace(got, stderr=got.value.abs())",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="a mass above 1",
        config="shape: tuple[int, ...] = (1, 2, 2)\nbounded: bool = True",
        model="def log_prob(self, *args, **options):\n    got = super().log_prob(*args, **options)\n"
        "    return replace(got, value=got.value.abs(), space='uint8')",
    ),
    Fault(
        check="log_prob_is_well_formed",
        what="the mass of points",
        model="def log_prob(self, *args, **options):\n    got = super().log_prob(*args, **options)\n"
        "    return replace(got, value=-got.value.abs(), space='uint8')",
    ),
    Fault(
        check="more_draws_make_no_bound_worse",
        what="the sum of the draws",
        model="def log_prob(self, *args, k=1, **options):\n    got = super().log_prob(*args, **options)\n"
        "    return replace(got, value=-k * got.value.abs(), kind='lower_bound')",
    ),
    Fault(
        check="density_is_that_of_decode",
        what="the wrong sign",
        model="def log_prob(self, *args, **options):\n    got = super().log_prob(*args, **options)\n"
        "    return replace(got, value=got.value + 2 * self.log_scale.sum())",
    ),
    Fault(
        check="density_is_that_of_decode",
        what="no Jacobian of the tanh",
        config="bounded: bool = True",
        model="def log_prob(self, x, labels=None, *, rng=None, k=1):\n    got = super().log_prob(x, labels)\n"
        "    return replace(got, value=got.value + torch.log1p(-x**2).sum(dim=1))",
    ),
    Fault(check="labels_matter", what="ignored", model="def decode(self, z, labels=None):\n    return super().decode(z)"),
    Fault(
        check="labels_matter",
        what="shared by the rows",
        model="def decode(self, z, labels=None):\n    return super().decode(z, labels.float().mean().ceil().long().expand(len(z)))",
    ),
    Fault(
        check="labels_matter",
        what="a number that is no count",
        model="def __init__(self, config):\n    super().__init__(config)\n    self.num_classes = 3.0",
    ),
    Fault(check="gives_features", what="one row for all", hook=JUDGES, model=JUDGE + "def features(self, x):\n    return x[:1]"),
    Fault(check="gives_features", what="no vector", hook=JUDGES, model=JUDGE + "def features(self, x):\n    return x[:, 0]"),
    Fault(check="gives_features", what="noise", hook=JUDGES, model=JUDGE + "def features(self, x):\n    return x + torch.randn_like(x)"),
    Fault(
        check="gives_features",
        what="one for all",
        hook=JUDGES,
        model=JUDGE + "def features(self, x):\n    return torch.ones(len(x), 3)",
    ),
    Fault(
        check="classifies",
        what="probabilities",
        hook=JUDGES,
        model=JUDGE + "def classify(self, x):\n    return self.logits(x).softmax(1)",
    ),
    Fault(
        check="classifies",
        what="one class too few",
        hook=JUDGES,
        model=JUDGE + "def classify(self, x):\n    return self.logits(x)[:, 1:].log_softmax(1)",
    ),
    Fault(
        check="classifies",
        what="the image is ignored",
        hook=JUDGES,
        model=JUDGE + "def classify(self, x):\n    return self.logits(0 * x).log_softmax(1)",
    ),
    Fault(
        check="classifies",
        what="a weight that nothing uses",
        hook=JUDGES,
        model=JUDGE + "def classify(self, x):\n    return self.logits(x).detach().log_softmax(1) + 0 * x.sum()",
    ),
    Fault(
        check="rows_do_not_depend_on_their_batch",
        what="statistics of the batch",
        model="def decode(self, z, labels=None):\n    return super().decode(z - z.mean(dim=0), labels)",
    ),
    Fault(
        check="rows_do_not_depend_on_their_batch",
        what="one draw for all rows",
        model="def prior(self, rng):\n    return rng.normal(2)[:1].expand(len(rng), 2)",
    ),
    Fault(
        check="global_generators_are_left_alone",
        what="torch's is moved",
        model="def prior(self, rng):\n    torch.rand(())\n    return super().prior(rng)",
    ),
    Fault(
        check="global_generators_are_left_alone",
        what="torch's is read",
        model="def prior(self, rng):\n    with torch.random.fork_rng(devices=[]):\n        return super().prior(rng) + torch.rand(())",
    ),
    Fault(
        check="global_generators_are_left_alone",
        what="numpy's is moved",
        model="def prior(self, rng):\n    np.random.rand()\n    return super().prior(rng)",
    ),
    Fault(
        check="global_generators_are_left_alone",
        what="Python's is moved",
        model="def prior(self, rng):\n    random.random()\n    return super().prior(rng)",
    ),
    Fault(
        check="trainer_splits_parameters",
        what="one parameter in two phases",
        trainer="def parameters_of(self, phase):\n    return self.parameters() if phase == 'critic' else self.model.parameters()",
    ),
    Fault(check="trainer_splits_parameters", what="no phase for the critic", trainer="def phases(self, step):\n    return ('generator',)"),
    Fault(
        check="trainer_splits_parameters",
        what="a phase that starts late",
        trainer="def phases(self, step):\n    return super().phases(step + 1)",
    ),
    Fault(
        check="steps_without_an_optimizer_are_of_the_state_alone",
        what="a phase that changes nothing",
        trainer="def phases(self, step):\n    return (*super().phases(step), 'rest')\n"
        "def parameters_of(self, phase):\n    return () if phase == 'rest' else super().parameters_of(phase)",
    ),
    Fault(
        check="steps_without_an_optimizer_are_of_the_state_alone",
        what="a count beside the buffers",
        trainer="def phases(self, step):\n    return (*super().phases(step), 'rest')\n"
        "def parameters_of(self, phase):\n    return () if phase == 'rest' else super().parameters_of(phase)\n"
        "count = 0\n"
        "def forward(self, phase, batch, rng):\n"
        "    if phase != 'rest':\n        return super().forward(phase, batch, rng)\n"
        "    self.count += 1\n"
        "    self.model.shift.fill_(self.count)\n"
        "    return Loss(value=torch.zeros(()))",
    ),
    Fault(
        check="trainer_splits_parameters",
        what="a parameter of nobody",
        trainer="def parameters_of(self, phase):\n    yield from super().parameters_of(phase)\n    yield nn.Parameter(torch.zeros(()))",
    ),
    Fault(
        check="trainer_splits_parameters",
        what="another model",
        trainer="def __init__(self, model, config):\n    super().__init__(model, config)\n    self.model = nn.Linear(1, 1)",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="a detached sample",
        trainer="def forward(self, phase, batch, rng):\n    with torch.no_grad():\n        return super().forward(phase, batch, rng)",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="a loss a row",
        trainer="def forward(self, phase, batch, rng):\n    return Loss(value=super().forward(phase, batch, rng).value.expand(3))",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="NaN",
        trainer="def forward(self, phase, batch, rng):\n    return Loss(value=super().forward(phase, batch, rng).value * float('nan'))",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="a log with its graph",
        trainer="def forward(self, phase, batch, rng):\n    loss = super().forward(phase, batch, rng)\n"
        "    return Loss(value=loss.value, logs={'again': loss.value})",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="a weight that nothing uses",
        model="def __init__(self, config):\n    super().__init__(config)\n    self.idle = nn.Parameter(torch.zeros(3))",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="an infinite gradient",
        trainer="def forward(self, phase, batch, rng):\n    loss = super().forward(phase, batch, rng).value\n"
        "    return Loss(value=loss + (loss - loss.detach()).sqrt())",
    ),
    Fault(
        check="trainer_gives_gradients",
        what="gradients for another phase",
        trainer="def forward(self, phase, batch, rng):\n    self.requires_grad_(True)\n    return super().forward(phase, batch, rng)",
    ),
    *(
        Fault(
            check="trainer_gives_gradients",
            what=f"a log called {name}",
            trainer="def forward(self, phase, batch, rng):\n    loss = super().forward(phase, batch, rng)\n"
            f"    return Loss(value=loss.value, logs={{'{name}': loss.value.detach()}})",
        )
        for name in ("step", "seconds", "loss.critic", "gradient.norm")
    ),
    Fault(
        check="trainer_takes_the_mean_over_rows",
        what="the sum",
        trainer="def forward(self, phase, batch, rng):\n    return Loss(value=super().forward(phase, batch, rng).value * len(batch.x))",
    ),
    *(
        Fault(
            check="frozen_nets_are_left_alone",
            what=what,
            trainer=f"def __init__(self, *given):\n    super().__init__(*given)\n    self.freeze('teacher', {net})\n"
            "def after(self, phase):\n    self.frozen['teacher'].requires_grad_(False).weight.add_(1)",
        )
        for what, net in (("the model itself", "self.model"), ("a net that a step changes", "nn.Linear(1, 1)"))
    ),
    Fault(
        check="critic_judges_each_row",
        what="a column",
        trainer="def judge(self, x, labels):\n    return super().judge(x, labels)[:, None]",
    ),
    Fault(
        check="trainer_draws_from_its_rng",
        what="torch's generator",
        trainer="def forward(self, phase, batch, rng):\n    loss = super().forward(phase, batch, rng)\n"
        "    return Loss(value=loss.value * torch.rand(()))",
    ),
]
