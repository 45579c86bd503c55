"""A portrait laid together: what lies behind the face, the face, and the hair before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmark.datasets.talkers.face_body import body, ears
from benchmark.datasets.talkers.face_curves import Brow, Eye, Lips
from benchmark.datasets.talkers.face_eyes import brows, eyes, lids
from benchmark.datasets.talkers.face_fields import Box, box, normals, over, ramp
from benchmark.datasets.talkers.face_geometry import Camera, head
from benchmark.datasets.talkers.face_hair import back, beard_cover, beard_texture, cap, covers_ears, hair
from benchmark.datasets.talkers.face_light import Light, openness
from benchmark.datasets.talkers.face_mouth import inside_mouth, paint_lips
from benchmark.datasets.talkers.face_skin import Patch, colour, relief, skin
from benchmark.datasets.talkers.face_view import View
from benchmark.datasets.talkers.identity import Person

OVERSAMPLING = 2
_ALL = (slice(None), slice(None))


class Scene:
    """A person in one view, at twice the resolution of the picture; light is `[3, H, W]`, linear.

    Everything but the face itself is drawn at once; `face` draws a part of it, for this view or for one that differs
    from it in mouth and blink alone.
    """

    def __init__(self, person: Person, view: View, size: int) -> None:
        self.person, self.view = person, view
        self.measures, self.skin, self.hair = head(person), skin(person), hair(person)
        self.light = Light.of(view)
        pixels = OVERSAMPLING * size
        camera = Camera.of(self.measures, view, pixels)
        step = 1 / self.measures.scale(pixels)
        y, x = np.mgrid[:pixels, :pixels].astype(float)
        plane_x, plane_y = camera.plane(x, y)
        u, v = camera.unproject(plane_x, plane_y)
        self.patch = Patch.of(self.measures, view, u, v, step)
        locks = self.hair

        self.behind = np.ones((3, pixels, pixels))
        if locks.bottom > 0 or locks.kind == "tied":
            top, bottom = (-3.0, -1.0) if locks.kind == "tied" else (-0.4, locks.bottom + 0.3)
            where = box(u, v, -2.0, 2.0, top, bottom)
            over(self.behind, where, *back(self.patch.crop(where), locks, self.light))
        low = slice(int(np.searchsorted(plane_y[:, 0], 0.6)), None)
        lower = Patch.of(self.measures, view, plane_x[low], plane_y[low], step)
        body(self.behind[:, low], lower, self.skin, self.light)
        if not covers_ears(locks):
            ears(self.behind, self.patch, self.skin, self.light)

        reach = 2.0
        self.hair_box = box(u, v, -reach, reach, -3.0, max(0.8, locks.bottom + 0.2))
        self.hair_colour, self.hair_cover, shade = cap(self.patch.crop(self.hair_box), locks, self.light)
        self.hair_shade = np.ones((pixels, pixels))
        self.hair_shade[self.hair_box] = shade
        self.eye_box = box(u, v, -1.05, 1.05, -0.3, 0.3)
        below = self.measures.chin_y + 0.25  # room for the open mouth
        self.face_box = even(box(self.patch.part, v, 0.0, 1.03, -3.0, below))
        jaw = even(box(u, v, -1.05, 1.05, 0.5, below))
        self.face_box = (slice(self.face_box[0].start, jaw[0].stop), self.face_box[1])
        skinned = self.patch.crop(self.face_box)
        self._albedo = np.empty((3, pixels, pixels))
        self._albedo[:, self.face_box[0], self.face_box[1]] = self._resting_albedo(skinned)
        if self.measures.male:
            self._strands = np.zeros((pixels, pixels))
            self._strands[self.face_box] = beard_texture(skinned, locks)

    def _resting_albedo(self, patch: Patch) -> np.ndarray:
        """Colour of the skin with its brows, which the mouth does not change."""
        own, locks = self.skin, self.hair
        albedo = colour(patch, own)
        lids(patch, Eye.of(self.measures, self.view), albedo)
        tint = np.minimum(locks.colour * (0.55 if locks.grey < 0.5 else 0.75), 0.4 * own.base)
        brow = Brow.of(self.measures, self.view)
        brows(patch, brow, albedo, tint, locks.strands, 0.06 * self.measures.male)
        return albedo

    def face(self, canvas: np.ndarray, view: View, where: Box) -> np.ndarray:
        """Paint a part of the skin and the mouth on `canvas`, a whole picture; gives how much light reaches it."""
        inside = self.patch.crop(where)
        if view.mouth.open != self.view.mouth.open:
            inside = Patch.of(self.measures, view, inside.u, inside.v, inside.step)
        patch = replace(inside, view=view)
        own, locks, light = self.skin, self.hair, self.light
        lips, eye = Lips.of(self.measures, view), Eye.of(self.measures, view)
        z = relief(patch, lips, eye)
        albedo = self._albedo[:, where[0], where[1]].copy()
        if self.measures.male:
            strands = self._strands[where]
            growth = beard_cover(patch, strands, lips)
            stubble = min(1.0, 0.25 + 1.5 * locks.beard) * (1 - 0.5 * locks.grey)
            albedo *= 1 - 0.16 * stubble * growth * (1 + 0.25 * strands)
            grown = float(ramp(np.array(locks.beard), 0.2, 0.55))
            dense = np.clip(growth * grown * (0.82 + 0.3 * strands), 0, 0.95)
            over(albedo, _ALL, locks.colour * (0.8 + 0.22 * strands), dense)
            z += dense * (0.02 * strands + 0.035)
        gloss = paint_lips(patch, lips, own, albedo)
        shade = self.hair_shade[where]
        sky, normal = openness(z, patch.step), normals(z, patch.step)
        lit = light.reaches(z, patch.step)
        lit_face = albedo * light.skin(normal, sky * shade, lit * shade)
        shine = (0.055 + 0.03 * own.tone) * light.gloss(normal, 14) + (0.05 + 0.04 * own.tone) * light.gloss(normal, 50)
        shine *= (1 + 1.3 * gloss) * sky * (0.3 + 0.7 * lit)
        lit_face += light.strength * shine * np.clip(albedo[1] / own.base[1], 0.1, 1)  # hair on the skin dulls it
        part = canvas[:, where[0], where[1]]
        over(part, _ALL, lit_face, patch.inside())
        inside_mouth(part, patch, lips, light)
        return sky * lit

    def eyes(self, canvas: np.ndarray, view: View, lit: np.ndarray) -> None:
        """Paint both eyes on `canvas`, a whole picture; `lit` is of the eye box."""
        patch = replace(self.patch.crop(self.eye_box), view=view)
        part = canvas[:, self.eye_box[0], self.eye_box[1]]
        eyes(part, patch, Eye.of(self.measures, view), self.person, self.light, lit)

    def front(self, canvas: np.ndarray, where: Box) -> None:
        """Lay the hair before the face over a part of `canvas`, a whole picture."""
        rows, columns = (_overlap(a, b) for a, b in zip(where, self.hair_box, strict=True))
        top, left = self.hair_box[0].start, self.hair_box[1].start
        inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        over(canvas, (rows, columns), self.hair_colour[:, inner[0], inner[1]], self.hair_cover[inner])

    def whole(self) -> np.ndarray:
        """The finished picture's light."""
        canvas = self.behind.copy()
        lit = np.ones(canvas.shape[1:])
        lit[self.face_box] = self.face(canvas, self.view, self.face_box)
        self.eyes(canvas, self.view, lit[self.eye_box])
        self.front(canvas, self.hair_box)
        return canvas


def _overlap(one: slice, other: slice) -> slice:
    start = max(one.start, other.start)
    return slice(start, max(start, min(one.stop, other.stop)))


def even(where: Box) -> Box:
    """The box, grown to whole pixels of the picture."""
    rows, columns = (slice(side.start // 2 * 2, (side.stop + 1) // 2 * 2) for side in where)
    return rows, columns


def develop(light: np.ndarray) -> np.ndarray:
    """Halve the resolution of light `[3, 2 H, 2 W]` and give display values `[3, H, W]`, 0 to 255, not rounded."""
    mean = 0.25 * (light[:, ::2, ::2] + light[:, 1::2, ::2] + light[:, ::2, 1::2] + light[:, 1::2, 1::2])
    return 255 * np.sqrt(np.clip(mean, 0, 1))
