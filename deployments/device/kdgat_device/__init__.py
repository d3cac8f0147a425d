"""A trained detector on a device: `Detector("model.onnx").push(time, arbitration_id, dlc, payload)`."""

from kdgat_device.detector import Detector, ModelError, Verdict

__all__ = ["Detector", "ModelError", "Verdict"]
