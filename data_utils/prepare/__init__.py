"""From a download to a catalog: a file per dataset, and what converts them all."""

import pandas as pd

# Where pyarrow is installed, pandas would keep text as Arrow's, which cannot hold file names that are not UTF-8: they
# must get as far as the line that refuses them.
pd.set_option("mode.string_storage", "python")
