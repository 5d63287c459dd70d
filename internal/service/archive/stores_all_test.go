//go:build stores

package archive

import "memexport/internal/workshop/storetest"

func init() { storeNames = storetest.Names }
