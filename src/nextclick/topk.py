from nextclick.evaluation.recommended import dense_top, sparse_top
from nextclick.evaluation.ranks import SortedBase
