"""`lka-reid` with the fakes in place of a bundle's models: `python -m tests.service.fake_command serve`."""

from service import resources
from service.cli import main
from tests.service.fakes import load_fakes

if __name__ == "__main__":
    resources.load_models = load_fakes
    main()
