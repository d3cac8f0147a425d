from kdgat_models.detector import Detector as Detector
