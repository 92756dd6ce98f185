"""Features of recordings are computed once, belong to the samples beside them, and to the files as they are."""

import numpy as np
import pytest
import recordings
import soundfile
import tensorflow as tf

RATE = 24_000


@pytest.fixture
def folder(tmp_path):
    """Three recordings of a second and more, and a fourth that is longer than the others together."""
    rng = np.random.default_rng(0)
    for number, seconds in enumerate((1, 1.5, 1.2, 5)):
        samples = 0.1 * rng.standard_normal(round(seconds * RATE))
        soundfile.write(tmp_path / f"r{number}.wav", samples, RATE, subtype="PCM_16")
    return tmp_path


def paths_of(folder):
    return sorted(folder.glob("*.wav"))


def test_excerpts_are_of_the_samples_and_of_their_features(folder):
    wholes = [recordings.read(tf.constant(str(path))) for path in paths_of(folder)]
    features, samples = next(iter(recordings.batches(recordings.recordings(paths_of(folder)))))
    assert features.shape == [recordings.BATCH, recordings.EXCERPT, recordings.BANDS]
    assert samples.shape == [recordings.BATCH, recordings.EXCERPT * recordings.HOP, 1]
    for frames, excerpt in zip(features.numpy(), samples.numpy()[..., 0], strict=True):
        found = [
            whole[start * recordings.HOP :][: len(excerpt)].tobytes() == excerpt.tobytes()
            and np.array_equal(mel.numpy()[start : start + recordings.EXCERPT], frames)
            for whole, mel in wholes
            for start in range(len(mel) - recordings.EXCERPT + 1)
        ]
        assert any(found)


def test_a_frame_is_a_hop(folder):
    for path in paths_of(folder):
        samples, features = recordings.read(tf.constant(str(path)))
        assert len(samples) == len(features) * recordings.HOP


def test_what_is_kept_is_not_read_again_until_a_file_changes(folder, tmp_path, monkeypatch):
    cache, read, seen = tmp_path / "cache", recordings.read, []
    cache.mkdir()

    def counted(path):
        seen.append(path)
        return read(path)

    monkeypatch.setattr(recordings, "read", counted)
    first = [mel.numpy() for _, mel in recordings.recordings(paths_of(folder), cache)]
    again = [mel.numpy() for _, mel in recordings.recordings(paths_of(folder), cache)]
    assert len(seen) == 4
    assert all(map(np.array_equal, first, again))
    soundfile.write(folder / "r0.wav", np.zeros(RATE), RATE)
    changed = next(iter(recordings.recordings(paths_of(folder), cache)))[1].numpy()
    assert not np.array_equal(changed, first[0])


def test_passes_differ_and_a_seed_repeats_them(folder):
    draw = lambda seed: next(iter(recordings.batches(recordings.recordings(paths_of(folder)), seed)))[1].numpy()  # noqa: E731
    assert np.array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


def test_a_recording_that_breaks_off_ends_the_training(folder):
    path = folder / "r1.wav"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(tf.errors.OpError, match="it breaks off after"):
        list(recordings.recordings(paths_of(folder)))


def test_with_a_cache_the_device_computes(folder, capsys):
    shares = recordings.main([str(folder), "--steps", "10"])
    assert shares["from the cache"] > shares["computed in every pass"]
    assert "the device computes" in capsys.readouterr().out


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(ValueError, match="The folder must hold recordings"):
        recordings.main([str(tmp_path)])
