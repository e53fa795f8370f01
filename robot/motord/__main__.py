"""`python -m robot.motord`: the same as `edgebot-motord`."""

from robot.motord.main import main

if __name__ == "__main__":
    main()
