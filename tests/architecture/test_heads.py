from __future__ import annotations

import torch

from architecture.heads import Predictor, Projector


def test_a_prediction_depends_on_the_summary_and_on_the_place() -> None:
    torch.manual_seed(0)
    predictor = Predictor(6, 10, 4, places=5)
    summaries = torch.randn(3, 1, 6)
    predictions = predictor(summaries, torch.arange(5))
    assert predictions.shape == (3, 5, 4)
    between_places = torch.cdist(predictions, predictions) + torch.eye(5)
    assert between_places.min() > 1e-2
    assert (predictions[0] - predictions[1]).abs().amax() > 1e-2
    for place in range(5):
        torch.testing.assert_close(predictor(summaries[:, 0], torch.tensor([place])), predictions[:, place])


def test_a_projector_standardises_over_the_batch_and_stays_in_float32() -> None:
    torch.manual_seed(0)
    projector = Projector(6, 8)
    vectors = torch.randn(20, 6)
    projected = projector(vectors)
    assert projected.shape == (20, 8)
    # BatchNorm forgets scale and offset: what is left of them is its epsilon.
    torch.testing.assert_close(projector(1000 * vectors), projector(100 * vectors), atol=1e-3, rtol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        assert projector(vectors).dtype == torch.float32
        assert torch.equal(projector(vectors), projected)
        assert projector(vectors.bfloat16()).dtype == torch.float32
