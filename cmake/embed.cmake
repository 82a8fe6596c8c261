# Writes a C file that holds files as arrays of bytes, each with its size:
#     cmake -DOUT=FILE.c -DFILES=a.html;b.css -P embed.cmake
# `dir/a.html` becomes dir_a_html and dir_a_html_size, `dir` being the last folder of its path.
set(text "/* Made by cmake/embed.cmake. */\n#include <stddef.h>\n")
foreach(file IN LISTS FILES)
  get_filename_component(folder ${file} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER "${folder}_${name}" id)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  string(APPEND text "extern const unsigned char ${id}[];\nextern const size_t ${id}_size;\n"
                     "const unsigned char ${id}[] = {\n${bytes}\n};\n"
                     "const size_t ${id}_size = sizeof ${id};\n")
endforeach()
file(WRITE ${OUT} "${text}")
