# The story generator, run as a user runs it. A case is one block; it passes if nothing is fatal.
cmake_minimum_required(VERSION 3.22)
file(MAKE_DIRECTORY ${WORK_DIR})

# tell(FILE ARGS...): runs the generator, which must succeed and be quiet, into WORK_DIR/FILE.
function(tell file)
  execute_process(COMMAND ${STORIES} ${ARGN}
    OUTPUT_FILE ${WORK_DIR}/${file} ERROR_VARIABLE err RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0 OR NOT err STREQUAL "")
    message(FATAL_ERROR "stories ${ARGN}: status ${rc}, stderr '${err}'")
  endif()
endfunction()

# expect_same(YES A B): whether the two files have the same bytes must be YES.
function(expect_same expected a b)
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${a} ${b}
    RESULT_VARIABLE differ ERROR_QUIET)
  if((expected AND differ) OR (NOT expected AND NOT differ))
    message(FATAL_ERROR "same bytes in ${a} and ${b}: expected ${expected}")
  endif()
endfunction()

# expect_refused(MESSAGE ARGS...): exit status 1, nothing on stdout, and the message on stderr.
function(expect_refused message)
  execute_process(COMMAND ${STORIES} ${ARGN}
    OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE rc)
  string(FIND "${err}" "${message}" at)
  if(NOT rc EQUAL 1 OR NOT out STREQUAL "" OR at EQUAL -1)
    message(FATAL_ERROR "stories ${ARGN}: expected '${message}' and status 1, "
      "found '${err}' and status ${rc}")
  endif()
endfunction()

# expect_none(TEXT REGEX WHY): the text must not match.
function(expect_none text regex why)
  if(text MATCHES "${regex}")
    message(FATAL_ERROR "${why}: '${CMAKE_MATCH_0}'")
  endif()
endfunction()

if(CASE STREQUAL "default")
  tell(default.txt)
  expect_same(YES ${WORK_DIR}/default.txt ${CORPUS})

elseif(CASE STREQUAL "seeds")
  tell(a.txt --seed 7 --bytes 5000)
  tell(b.txt --bytes 5000 --seed 7)
  tell(c.txt --seed 8 --bytes 5000)
  expect_same(YES ${WORK_DIR}/a.txt ${WORK_DIR}/b.txt)
  expect_same(NO ${WORK_DIR}/a.txt ${WORK_DIR}/c.txt)

elseif(CASE STREQUAL "length")
  # At least the bytes asked for, at most one story (under 1024 bytes) more, and no story for none.
  foreach(asked 0 1 5000)
    tell(${asked}.txt --bytes ${asked})
    file(SIZE ${WORK_DIR}/${asked}.txt size)
    math(EXPR limit "${asked} + 1024")
    if(size LESS asked OR NOT size LESS limit OR (asked EQUAL 0 AND NOT size EQUAL 0))
      message(FATAL_ERROR "--bytes ${asked} gave ${size} bytes")
    endif()
  endforeach()

elseif(CASE STREQUAL "prose")
  # What a slip in the grammar would leave in the text. Another seed than the shipped text has.
  tell(prose.txt --seed 2 --bytes 200000)
  file(READ ${WORK_DIR}/prose.txt text)
  expect_none("${text}" "[^\n A-Za-z.,!?\"']" "a character outside the alphabet of the stories")
  expect_none("${text}" "[ \n][Aa] [aeiou][a-z]*" "'a' before a vowel")
  expect_none("${text}" "[ \n][Aa]n [^aeiou][a-z]*" "'an' before a consonant")
  expect_none("${text}" "[.!?] [a-z]+" "a sentence without a capital")
  expect_none("${text}" "  +[^ ]*| \n|\n\n\n" "stray white space")
  expect_none("${text}" "[^.!?\"\n]\n" "a story without an end")

elseif(CASE STREQUAL "options")
  expect_refused("unknown option '--bites'" --bites 5)
  expect_refused("unknown option '7'" 7)
  expect_refused("--seed needs a number" --seed)
  expect_refused("--bytes needs a number" --seed 1 --bytes)
  foreach(wrong "-1" " 7" "7up" "0x10" "18446744073709551616")
    expect_refused("--seed: expected a number from 0 to 18446744073709551615, found '${wrong}'"
      --bytes 1 --seed "${wrong}")
  endforeach()

elseif(CASE STREQUAL "full_disk")
  # The shell opens the device; OUTPUT_FILE would, for root, put a plain file in its place.
  if(EXISTS /dev/full)
    execute_process(COMMAND sh -c "exec \"$0\" --bytes 100 > /dev/full" ${STORIES}
      ERROR_VARIABLE err RESULT_VARIABLE rc)
    if(NOT rc EQUAL 1 OR NOT err MATCHES "cannot write to standard output: .+")
      message(FATAL_ERROR "a full disk: status ${rc}, stderr '${err}'")
    endif()
  endif()

else()
  message(FATAL_ERROR "no case '${CASE}'")
endif()
