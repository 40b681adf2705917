"""What is known of cameras."""

from __future__ import annotations

from lka_reid_client.answers import CalibrationCount, CameraAnswer, CamerasAnswer
from lka_reid_client.call import Call, Image, given, image_part
from lka_reid_client.calls.parsing import model, nothing
from lka_reid_client.naming import path_of


def cameras() -> Call[CamerasAnswer]:
    """Every camera that has images, and the normalisation in force."""
    return Call("GET", "/cameras", model(CamerasAnswer))


def camera(camera_id: str) -> Call[CameraAnswer]:
    """What is known of a camera, and what normalising does to it."""
    return Call("GET", path_of("cameras", camera_id), model(CameraAnswer))


def calibrate(camera_id: str, image: Image, *, anew: bool = False) -> Call[CalibrationCount]:
    """Show an image of a camera, which is not enrolled; the same bytes count once.

    With `anew` it takes the place of all images that were shown before; they stay where it is refused. Show
    the next ones after its answer: sent again, and late, it would take their place, too. So it is not sent
    again where its answer is lost.
    """
    return Call(
        "POST",
        path_of("cameras", camera_id, "calibration"),
        model(CalibrationCount),
        parts=lambda: [image_part(image)],
        form=given({"anew": anew or None}),
        waits=True,
        repeats=not anew,
    )


def forget_calibration(camera_id: str) -> Call[None]:
    """Forget a camera's calibration; `Kind.UNKNOWN_CAMERA` where there is none."""
    return Call("DELETE", path_of("cameras", camera_id, "calibration"), nothing)
