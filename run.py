"""The one command: `python run.py` opens the desk, `python run.py write "BRIEF"` writes one section in the terminal,
`python run.py models` lists the models.

Sees to its own environment first. Everything above the version check must be readable by a Python of any age.
"""

import signal
import sys

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python is exactly who this line speaks to)
    sys.exit("Galley needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ".")

if __name__ == "__main__":
    # The model process imports this file again under another name, and must find nothing to do in it.
    from app.environment import enter
    from app.settings import parse

    settings = parse(sys.argv[1:])
    enter("requirements.txt", sys.argv)
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # Ctrl+C while libraries load; what takes long has its own answer to it
    if settings.listing:
        from app.listing import show_models

        sys.exit(show_models(settings))
    if settings.writing is None:
        from app.launch import launch

        sys.exit(launch(settings))
    from app.terminal import write

    sys.exit(write(settings, settings.writing))
