r"""Groups, domains, signals and the layers that respect them: the code behind *Beyond Alchemy, Executed*.

The modules follow the order of the book, and import only from left to right::

    groups  ->  representations  ->  domains  ->  signals  ->  layers  ->  blueprint
    meshes (surfaces)                                     \->  equivariance (measure)   intertwiners (solve)   spectra

``training`` trains any of it. ``claims`` states what the book checks, ``figures`` draws it, ``data`` holds what it is checked
on, ``pictures`` changes images as cameras do. Nothing is imported, computed or fetched here: import the module that you need, for example
``from gdl_utils.groups import dihedral``.
"""

__version__ = "0.1.0"
