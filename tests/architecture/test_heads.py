from __future__ import annotations

import pytest
import torch

from architecture.heads import Predictor, Projector, Standardised


def test_a_prediction_depends_on_the_vector_and_on_the_place() -> None:
    torch.manual_seed(0)
    predictor = Predictor(6, 10, 4, tables=(5,))
    vectors = torch.randn(3, 1, 6)
    predictions = predictor(vectors, torch.arange(5))
    assert predictions.shape == (3, 5, 4)
    between_places = torch.cdist(predictions, predictions) + torch.eye(5)
    assert between_places.min() > 1e-2
    assert (predictions[0] - predictions[1]).abs().amax() > 1e-2
    for place in range(5):
        torch.testing.assert_close(predictor(vectors[:, 0], torch.tensor([place])), predictions[:, place])


def test_vectors_that_hardly_differ_are_told_apart() -> None:
    torch.manual_seed(0)
    predictor = Predictor(6, 10, 4)
    vectors = torch.randn(40, 6)
    common = torch.randn(6)
    torch.testing.assert_close(predictor(common + 1e-3 * vectors), predictor(vectors), atol=2e-2, rtol=0)
    assert predictor(common + 1e-3 * vectors).std(dim=0).min() > 0.05


def test_vectors_are_standardised_over_all_but_the_last_axis_in_float32() -> None:
    norm = Standardised(6, 0.1)
    vectors = torch.randn(5, 8, 6, generator=torch.Generator().manual_seed(0)) * 3 + 2
    values = vectors.double().flatten(0, 1)
    expected = ((values - values.mean(dim=0)) / values.std(dim=0, correction=0)).float().unflatten(0, (5, 8))
    torch.testing.assert_close(norm(vectors), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(norm(vectors), norm(vectors.clone()))
        assert norm(vectors.bfloat16()).dtype == torch.float32


def test_running_statistics_are_the_mean_of_the_first_batches_and_then_follow() -> None:
    norm = Standardised(3, 0.25)
    batches = torch.randn(7, 10, 3, generator=torch.Generator().manual_seed(0))
    means = batches.mean(dim=1)
    for batch in batches[:4]:
        norm(batch)
    torch.testing.assert_close(norm.mean_D, means[:4].mean(dim=0))
    for batch in batches[4:]:
        norm(batch)
    expected = means[:4].mean(dim=0)
    for mean in means[4:]:
        expected = 0.75 * expected + 0.25 * mean
    torch.testing.assert_close(norm.mean_D, expected)
    single = norm(batches[0, :1])  # has no statistics of its own
    before = norm.mean_D.clone()
    torch.testing.assert_close(norm.eval()(batches[0])[:1], single)
    assert torch.equal(norm.mean_D, before)


def test_a_place_in_two_tables_is_the_sum_of_its_embeddings() -> None:
    torch.manual_seed(0)
    predictor = Predictor(6, 10, 4, tables=(3, 2))
    vectors, token, group = torch.randn(7, 6), torch.arange(7) % 3, torch.arange(7) % 2
    first_TH, second_GH = (predictor.get_parameter(f"places.{number}.weight") for number in range(2))
    expected = predictor.out(
        predictor.hidden((vectors - vectors.mean(dim=0)) / vectors.std(dim=0, correction=0))
        + (first_TH[token] + second_GH[group])
    )
    torch.testing.assert_close(predictor(vectors, token, group), expected)


def test_without_tables_there_is_no_place_to_give() -> None:
    predictor = Predictor(6, 10, 4)
    assert predictor(torch.randn(2, 3, 6)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="longer"):
        predictor(torch.randn(2, 6), torch.arange(2))
    with pytest.raises(ValueError, match="shorter"):
        Predictor(6, 10, 4, tables=(2,))(torch.randn(2, 6))


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


def test_a_projectors_running_statistics_move_by_its_momentum() -> None:
    projector = Projector(6, 8, batchnorm_momentum=1.0)
    vectors = torch.randn(20, 6)
    hidden = vectors @ projector.get_parameter("layers.0.weight").T
    projector(vectors)
    torch.testing.assert_close(projector.get_buffer("layers.1.running_mean"), hidden.mean(dim=0))


def test_a_predictor_may_see_vectors_as_they_are() -> None:
    predictor = Predictor(6, 10, 4, standardize=False)
    vectors = torch.randn(5, 6)
    assert torch.equal(predictor(vectors), predictor.out(predictor.hidden(vectors)))
