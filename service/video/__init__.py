"""From a video to the best crops of each vehicle: reading, motion, tracks. Needs the extra [video]."""
