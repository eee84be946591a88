"""Other words for the holes of a passage: drawn several times side by side, ranked by how well the text goes on.

Words are drawn in two ways. From the left, each token by the causal reading of all before it. And denoised: masked
slots and what is kept around them in one block, which is seen in both directions. Either way the causal reading ranks
them, by the likelihood of the new words and of the kept ones to their right. A network that has no such reading
denoises all of them.

Works on copies of the cache. Knows nothing of events and of how a passage was cut into tokens.
"""

from model.filling.bench import Bench
from model.filling.filling import Filling

__all__ = ["Bench", "Filling"]
