"""zoo-core's own plugin: its samplers, schedulers, data sets and metrics use the same hook as those of other plugins."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import DatasetSpec, MetricSpec, SamplerSpec, SchedulerSpec, Spec, TrainerSpec

__all__ = ["zoo_specs"]

DDPM, DDIM, IDDPM, EDM = "arXiv:2006.11239", "arXiv:2010.02502", "arXiv:2102.09672", "arXiv:2206.00364"
NCSN, SDE, DPM = "arXiv:1907.05600", "arXiv:2011.13456", "arXiv:2211.01095"
DEIS, UNIPC, AYS = "arXiv:2204.13902", "arXiv:2302.04867", "arXiv:2404.14507"


def _dataset(name: str, loader: str, config: str, summary: str, license: str = "") -> DatasetSpec:
    return DatasetSpec(
        name=name, target=f"zoo_core.data.loaders:{loader}", config=f"zoo_core.datasets:{config}", summary=summary, license=license
    )


_DATASETS = [
    DatasetSpec(
        name="arrow",
        target="zoo_core.data.table_loaders:arrow",
        config="zoo_core.datasets:ArrowConfig",
        summary="pictures in Arrow files, as save_to_disk of Hugging Face datasets writes them",
    ),
    DatasetSpec(
        name="captioned-fashion-mnist",
        target="zoo_core.data.captioned:captioned_fashion_mnist",
        config="zoo_core.data.captioned_sets:CaptionedFashionMNISTConfig",
        summary="articles of clothing in colours and places, one or two, with captions; 32x32, rendered from Fashion-MNIST",
        license="mit",
    ),
    DatasetSpec(
        name="captioned-mnist",
        target="zoo_core.data.captioned:captioned_mnist",
        config="zoo_core.data.captioned_sets:CaptionedMNISTConfig",
        summary="handwritten digits in colours and places, one or two, with captions; 32x32, rendered from MNIST",
        license="unknown",
    ),
    _dataset("cifar10", "cifar10", "CIFAR10Config", "small photographs of 10 kinds, 32x32 in colour; 50,000 and 10,000", "unknown"),
    _dataset("fashion-mnist", "fashion_mnist", "FashionMNISTConfig", "articles of clothing, 28x28 grey; 60,000 and 10,000", "mit"),
    _dataset("folder", "folder", "FolderConfig", "images in a folder; subfolders are classes"),
    _dataset("gaussian-mixture", "gaussian_mixture", "GaussianMixtureConfig", "points from a mixture of Gaussians; two in the plane"),
    DatasetSpec(
        name="hub",
        target="zoo_core.hub.datasets:hub_dataset",
        config="zoo_core.datasets:HubDatasetConfig",
        summary="pictures in the Parquet files of a data set on the Hugging Face Hub",
    ),
    _dataset("mnist", "mnist", "MNISTConfig", "handwritten digits, 28x28 grey; 60,000 and 10,000", "unknown"),
    _dataset("moons", "moons", "MoonsConfig", "points on two half circles in the plane"),
    DatasetSpec(
        name="parquet",
        target="zoo_core.data.table_loaders:parquet",
        config="zoo_core.datasets:ParquetConfig",
        summary="pictures in Parquet files",
    ),
    DatasetSpec(
        name="pydoc",
        target="zoo_core.data.text:pydoc",
        config="zoo_core.data.text_sets:PydocConfig",
        summary="the help texts of Python's language reference, which every CPython carries, as characters or words",
        license="psf-2.0",
    ),
    DatasetSpec(
        name="text",
        target="zoo_core.data.text:text",
        config="zoo_core.data.text_sets:TextConfig",
        summary="a plain text file, as characters or words",
    ),
]


def _metric(name: str, target: str, requires: str, paper: str, summary: str) -> MetricSpec:
    module, _, attribute = target.rpartition(".")
    target = f"zoo_core.evaluation.{module or 'feature_metrics'}:{attribute}"
    better = next((better for better, names in _BETTER.items() if name in names), "higher")
    return MetricSpec(name=name, target=target, requires=requires, better=better, paper=paper, summary=summary)


# As in their classes, with which `zoo plugins --check` compares them; for all other metrics, higher is better.
_BETTER = {
    "lower": ("bpd", "fd", "inpainting-mse", "kid", "nll"),
    "near 1": ("class-spread", "nearest-train"),
    "near real": ("pixel-saturation", "pixel-std"),
}
_PRDC, _PR = "arXiv:2002.09797", "arXiv:1904.06991"
_METRICS = [
    _metric("accuracy", "data_metrics.Accuracy", "classify", "", "real samples whose class the model names"),
    _metric("bpd", "data_metrics.BitsPerDim", "density", "", "-log2 p of real samples, for a dimension; a bound says that it is one"),
    _metric("caption-accuracy", "caption_metrics.CaptionAccuracy", "condition", "", "images that show all that their prompts name"),
    _metric("class-accuracy", "ClassAccuracy", "labels classify", "", "samples that are taken for the class that was asked for"),
    _metric("class-confidence", "ClassConfidence", "classify", "", "drawn samples whose class is sure, to p = 0.9"),
    _metric("class-spread", "ClassSpread", "labels features", "", "distance of samples within a class, over that of real ones"),
    _metric("clip-score", "caption_metrics.CaptionScore", "condition", "arXiv:2104.08718", "cosines of images with their prompts, by 100"),
    _metric("coverage", "Coverage", "features", _PRDC, "real samples with a drawn one nearby"),
    _metric("density", "Density", "features", _PRDC, "how many real samples are near a drawn one"),
    _metric("fd", "FrechetDistance", "features", "arXiv:1706.08500", "Frechet distance between Gaussians fitted to the features"),
    _metric("inpainting-mse", "data_metrics.InpaintingMSE", "fill denoise", "", "squared error of the hidden pixels of real images"),
    _metric("is", "InceptionScore", "classify", "arXiv:1606.03498", "sure of each sample's class, and of many classes in all"),
    _metric("kid", "KernelDistance", "features", "arXiv:1801.01401", "kernel distance between the features, unbiased"),
    _metric("nearest-train", "NearestTrain", "features", "", "distance to the nearest training sample: towards 0 for copies"),
    _metric("nll", "data_metrics.NegativeLogLikelihood", "density", "", "-log p of real samples, in nats; a bound says that it is one"),
    _metric("pixel-saturation", "pixel_metrics.PixelSaturation", "", "", "values of images beyond +-0.98: burnt out, or black"),
    _metric("pixel-std", "pixel_metrics.PixelStd", "", "", "standard deviation of the values of images: contrast"),
    _metric("precision", "Precision", "features", _PR, "drawn samples that lie among real ones"),
    _metric("retrieval-recall", "caption_metrics.RetrievalRecall", "features", "", "real images whose caption is among the k nearest"),
    _metric("recall", "Recall", "features", _PR, "real samples that lie among drawn ones"),
]


def _sampler(name: str, target: str, paper: str, summary: str, **defaults: object) -> SamplerSpec:
    return SamplerSpec(name=name, target=f"zoo_core.samplers:{target}", requires="denoise", paper=paper, summary=summary, defaults=defaults)


_SAMPLERS = [
    _sampler("ancestral", "Ancestral", DDPM, "DDPM's own sampler; fresh noise at every step"),
    _sampler("ddim", "Ancestral", DDIM, "deterministic: the same noise gives the same image", eta=0.0),
    _sampler("dpmpp-2m", "DPMSolver2M", DPM, "DPM-Solver++(2M): a multistep method of order 2; good from 10 steps on"),
    _sampler("dpmpp-2m-sde", "SDEDPMSolver2M", DPM, "SDE-DPM-Solver++(2M): dpmpp-2m with fresh noise at every step"),
    _sampler("euler", "Ancestral", EDM, "Euler's method on the probability-flow ODE", eta=0.0, clip=False),
    _sampler("heun", "Heun", EDM, "Heun's method, of order 2, with churn by option; two passes a step"),
    _sampler("langevin", "Langevin", NCSN, "annealed Langevin dynamics; several passes at each level"),
    _sampler("lms", "LinearMultistep", DEIS, "linear multistep method, of order 4: rho-AB-DEIS"),
    _sampler("predictor-corrector", "PredictorCorrector", SDE, "ancestral steps with Langevin corrections between them"),
    _sampler("unipc", "UniPC", UNIPC, "UniPC-2: dpmpp-2m and a corrector without further passes, of order 3"),
    SamplerSpec(
        name="unmask",
        target="zoo_core.samplers:Unmask",
        requires="unmask",
        paper="arXiv:2107.03006",
        summary="shows the hidden places of texts, some of them a step, in any order",
    ),
    SamplerSpec(name="latent", target="zoo_core.samplers:Latent", requires="decode", summary="decodes a draw from the prior; one pass"),
]


def _scheduler(name: str, target: str, paper: str, summary: str) -> SchedulerSpec:
    return SchedulerSpec(name=name, target=f"zoo_core.schedulers:{target}", paper=paper, summary=summary)


_SCHEDULERS = [
    _scheduler("cosine", "Cosine", IDDPM, "signal falls as a squared cosine"),
    _scheduler("geometric", "Geometric", NCSN, "even in log sigma, between any two levels"),
    _scheduler("karras", "Karras", EDM, "even in sigma^(1/rho), between any two levels"),
    _scheduler("levels", "Levels", AYS, "a list of levels, such as `zoo levels` finds for a checkpoint"),
    _scheduler("linear", "Linear", DDPM, "beta linear in t"),
]


_TRAINER = TrainerSpec(
    name="model-loss",
    target="zoo_core.training.model_loss:ModelLossTrainer",
    config="zoo_core.recipes:ModelLossConfig",
    summary="the loss that the model itself computes: loss(batch, rng)",
)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        *_SAMPLERS,
        *_SCHEDULERS,
        *_DATASETS,
        *_METRICS,
        _TRAINER,
    ]
