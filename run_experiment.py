"""The experiment: ``deepspeed run_experiment.py`` on several devices, ``python run_experiment.py`` on one or all."""

import sys

from teleclass.pipeline import main

if __name__ == "__main__":
    sys.exit(main())
