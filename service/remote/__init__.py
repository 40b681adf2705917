"""What commands do through a running service: enrolling, calibrating and exporting many images."""
