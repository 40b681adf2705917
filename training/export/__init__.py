"""From a finished run to a bundle: ONNX files, their parity with torch, and storage."""
