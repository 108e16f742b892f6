"""What scores are called in print: their names depend on the extractor."""

from nkca.metrics.extractors.contract import Description

CLIP_PREFIX = "clip"


def is_clip(extractor: Description | None) -> bool:
    """Whether the features are those of CLIP, so that the distance with the RBF kernel is CMMD."""
    return extractor is not None and extractor.name.startswith(CLIP_PREFIX)


def score_names(extractor: Description | None) -> dict[str, str]:
    """The printed name of each field of `Scores`; with DINOv2 distances are not those of Inception."""
    if extractor is not None and "dinov2" in extractor.name:  # dinov2-vit-l-14, timm:vit_..._dinov2
        frechet, kernel = "FD-DINOv2", "KD-DINOv2"
    else:
        frechet, kernel = "FID", "KID"
    return {
        "fid": frechet,
        "fid_line": f"{frechet}∞",
        "kid": kernel,
        "cmmd": "CMMD",
        "inception_score": "Inception Score",
        "manifold": "precision, recall, density, coverage",
        "memorisation": "copies of training images",
    }
