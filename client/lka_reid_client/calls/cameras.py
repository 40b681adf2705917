"""What is known of cameras."""

from __future__ import annotations

from lka_reid_client.answers import CalibrationCount, CameraAnswer, CamerasAnswer
from lka_reid_client.call import Call, Image, image_part
from lka_reid_client.calls.parsing import model, nothing
from lka_reid_client.naming import path_of


def cameras() -> Call[CamerasAnswer]:
    """Every camera that has images, and the normalisation in force."""
    return Call("GET", "/cameras", model(CamerasAnswer))


def camera(camera_id: str) -> Call[CameraAnswer]:
    """What is known of a camera, and what normalising does to it."""
    return Call("GET", path_of("cameras", camera_id), model(CameraAnswer))


def calibrate(camera_id: str, image: Image) -> Call[CalibrationCount]:
    """Show an image of a camera, which is not enrolled; the same bytes count once."""
    return Call(
        "POST",
        path_of("cameras", camera_id, "calibration"),
        model(CalibrationCount),
        parts=lambda: [image_part(image)],
        waits=True,
        repeats=True,
    )


def forget_calibration(camera_id: str) -> Call[None]:
    """Forget a camera's calibration; `Kind.UNKNOWN_CAMERA` where there is none."""
    return Call("DELETE", path_of("cameras", camera_id, "calibration"), nothing)
