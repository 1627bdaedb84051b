# How pre-commit has manage.py called. `migrations_hook install` writes files like this one.
directory=.
python=python
script=./manage.py
programs=
settings_option=
pythonpath_option=
pathspecs="':(top,glob)**/migrations/**' ':(top,glob)**/settings*.py' ':(top,glob)**/settings/**'"
