"""A second world, for tests alone: the same things and questions, drawn by other code. No model is trained on it.

``sample`` says what is in a picture and how it is to look; ``draw`` draws it, on ``backdrops``. Other faces, sizes,
hues and outlines than ``models.world``, photographs and other textures behind, turned by a few degrees, saved as JPEG.
Nothing of ``models.world`` that draws or places is used: only what a scene, a page and a question are.
"""
